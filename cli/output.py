"""What commands show to a person about a system that runs."""

from __future__ import annotations

import shlex

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from cli.installation import Installation
from cli.shell import tailorbird
from cli.system import PROCESSES, Ports, endpoint_variables
from common.access_keys import AccessKey
from common.settings import TlsFiles

__all__ = ["access_key_variables", "how_to_use"]


def how_to_use(
    installation: Installation,
    ports: Ports,
    *,
    first_key: AccessKey | None,
    to_person: bool,
    tls: TlsFiles | None = None,
) -> Panel:
    """Return the box that `up` ends its start with.

    Args:
        installation: The data directory.
        ports: Where the processes listen.
        first_key: The access key that was just made.
        to_person: Whether it goes to a terminal, and its secret with it: shown now or never. What goes anywhere else is
            kept, and a secret in it would be, too.
        tls: The certificates that the system speaks TLS with, None when it speaks plain text.
    """
    # Commands that are copied from here must find the same directory.
    where = f" --data-dir {shlex.quote(str(installation.root.resolve()))}"
    lines = [f"The system runs at {ports.endpoint}; everything is kept in {installation.root}.", ""]
    if first_key is not None and to_person:
        lines += ["Your first access key; the secret is not shown again:", ""]
        lines += [f"  {line}" for line in access_key_variables(first_key)]
        lines += [""]
    elif first_key is not None:
        lines += [f"Your first access key is {first_key.access_key_id}; its secret is kept in", ""]
        lines += [f"  {installation.access_keys_file.resolve()}", ""]
    else:
        lines += [f"More access keys: {tailorbird()} keys create NAME{where}", ""]
    lines += ["Programs that use Personalize come here unchanged, with these variables:", ""]
    lines += [f"  {line}" for line in endpoint_variables(ports.endpoint)]
    if tls is not None:
        lines += [f"  export AWS_CA_BUNDLE={tls.ca_file}"]
    lines += [
        "",
        "or:       " + f'boto3.client("personalize", endpoint_url="{ports.endpoint}")',
        "          " + f"aws --endpoint-url {ports.endpoint} personalize list-recipes",
        f"gRPC:     {', '.join(ports.address(name) for name in PROCESSES[:3])}",
        f"          token: {tailorbird()} keys token{where}",
        f"s3://BUCKET/KEY in import jobs is read from {installation.buckets}/BUCKET/KEY",
        "",
        "Ctrl-C stops everything.",
    ]
    # Not wrapped by us: what is copied from the screen must stay in one piece.
    return Panel(Group(*(Text(line, overflow="fold") for line in lines)), title="Tailorbird", title_align="left")


def access_key_variables(key: AccessKey) -> list[str]:
    """Return the lines of a shell that sign with a key."""
    return [
        f"export AWS_ACCESS_KEY_ID={key.access_key_id}",
        f"export AWS_SECRET_ACCESS_KEY={key.secret_access_key}",
        "export AWS_DEFAULT_REGION=us-east-1",
    ]
