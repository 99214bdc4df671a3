"""What commands show to a person: how to use a running system, and lines to copy into a shell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from cli.installation import Installation
from cli.system import PROCESSES, Ports, endpoint_variables
from common.access_keys import AccessKey
from common.settings import TlsFiles

__all__ = ["access_key_variables", "how_to_use", "python", "tailorbird"]


def python() -> str:
    """Return the path of the running interpreter, quoted for a shell."""
    return shlex.quote(sys.executable)


def tailorbird() -> str:
    """Return the command `tailorbird` of the running interpreter's environment, quoted for a shell.

    It works in a shell in which this environment is not activated.
    """
    script = Path(sys.executable).with_name("tailorbird")
    return shlex.quote(str(script)) if script.exists() else f"{python()} -m cli"


def how_to_use(
    installation: Installation,
    ports: Ports,
    *,
    first_key: AccessKey | None,
    to_person: bool,
    tls: TlsFiles | None = None,
) -> Panel:
    """Return the box that `up` shows when the system has started.

    Args:
        installation: The data directory.
        ports: Ports of the processes.
        first_key: The access key that was just created; None when there was one before.
        to_person: Whether the output is a terminal. Only there the secret of the key is shown: any other output is
            stored, and the secret would be stored with it.
        tls: The certificates of the system; None when it speaks plain text.
    """
    # Commands that are copied from here must use the same directory.
    data_dir_option = f" --data-dir {shlex.quote(str(installation.root.resolve()))}"
    lines = [f"The system runs at {ports.endpoint}; everything is kept in {installation.root}.", ""]
    if first_key is not None and to_person:
        lines += ["Your first access key; the secret is not shown again:", ""]
        lines += [f"  {line}" for line in access_key_variables(first_key)]
        lines += [""]
    elif first_key is not None:
        lines += [f"Your first access key is {first_key.access_key_id}; its secret is in no log. One that you see:", ""]
        lines += [f"  {tailorbird()} keys create NAME{data_dir_option}", ""]
    else:
        lines += [f"More access keys: {tailorbird()} keys create NAME{data_dir_option}", ""]
    lines += ["Programs that use Personalize come here unchanged, with these variables:", ""]
    lines += [f"  {line}" for line in endpoint_variables(ports.endpoint)]
    if tls is not None:
        lines += [f"  export AWS_CA_BUNDLE={tls.ca_file}"]
    lines += [
        "",
        "or:       " + f'boto3.client("personalize", endpoint_url="{ports.endpoint}")',
        "          " + f"aws --endpoint-url {ports.endpoint} personalize list-recipes",
        f"gRPC:     {', '.join(ports.address(name) for name in PROCESSES[:3])}",
        f"          token: {tailorbird()} keys token{data_dir_option}",
        f"s3://BUCKET/KEY in import jobs is read from {installation.buckets}/BUCKET/KEY",
        "",
        "Ctrl-C stops everything.",
    ]
    # Not wrapped here: a line that is copied must stay in one piece.
    return Panel(Group(*(Text(line, overflow="fold") for line in lines)), title="Tailorbird", title_align="left")


def access_key_variables(key: AccessKey) -> list[str]:
    """Return the shell commands that make AWS SDKs sign with an access key."""
    return [
        f"export AWS_ACCESS_KEY_ID={key.access_key_id}",
        f"export AWS_SECRET_ACCESS_KEY={key.secret_access_key}",
        "export AWS_DEFAULT_REGION=us-east-1",
    ]
