"""What commands show to a person about a system that runs."""

from __future__ import annotations

import shlex

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from cli.installation import Installation
from cli.programs import tailorbird
from cli.system import PROCESSES, Ports
from common.access_keys import AccessKey

__all__ = ["how_to_use"]


def how_to_use(installation: Installation, ports: Ports, *, first_key: AccessKey | None) -> Panel:
    """Return the box that `up` ends its start with.

    Args:
        installation: The data directory.
        ports: Where the processes listen.
        first_key: The access key that was just made: its secret is shown now or never.
    """
    # Commands that are copied from here must find the same directory.
    where = f" --data-dir {shlex.quote(str(installation.root.resolve()))}"
    lines = [f"The system runs at {ports.endpoint}; everything is kept in {installation.root}.", ""]
    if first_key is not None:
        lines += [
            "Your first access key; the secret is not shown again:",
            "",
            f"  export AWS_ACCESS_KEY_ID={first_key.access_key_id}",
            f"  export AWS_SECRET_ACCESS_KEY={first_key.secret_access_key}",
            "  export AWS_DEFAULT_REGION=us-east-1",
            "",
        ]
    else:
        lines += [f"More access keys: {tailorbird()} keys create NAME{where}", ""]
    lines += [
        "AWS CLI:  " + f"aws --endpoint-url {ports.endpoint} personalize list-recipes",
        "boto3:    " + f'boto3.client("personalize", endpoint_url="{ports.endpoint}")',
        "          the same for personalize-events and personalize-runtime",
        f"gRPC:     {', '.join(ports.address(name) for name in PROCESSES[:3])}",
        f"          token: {tailorbird()} keys token{where}",
        f"s3://BUCKET/KEY in import jobs is read from {installation.buckets}/BUCKET/KEY",
        "",
        "Ctrl-C stops everything.",
    ]
    # Not wrapped by us: what is copied from the screen must stay in one piece.
    return Panel(Group(*(Text(line, overflow="fold") for line in lines)), title="Tailorbird", title_align="left")
