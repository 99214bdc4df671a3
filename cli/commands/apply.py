"""`tailorbird apply`: makes the resources that a file declares, and updates those that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import CaFile, CertFile, ControlPlaneAddress, KeyFile, TokenFile, resolve_connection
from cli.declaration.api import ControlPlaneApi
from cli.declaration.executor import Executor, WaitPolicy
from cli.declaration.existing import Reader
from cli.declaration.load import load
from cli.declaration.output import plan_view, step_line
from cli.declaration.planner import plan
from cli.declaration.steps import Step
from cli.installation import Installation
from cli.terminal import escape_controls
from common.settings import TlsFiles

__all__ = ["CHANGES", "apply"]

#: Exit code of a dry run that found something to do. As with `terraform plan -detailed-exitcode` it is neither that of
#: success nor that of an error; 2, which Terraform uses, means a wrong call here.
CHANGES: Final = 3


def apply(
    file: Annotated[Path, typer.Argument(help="What shall exist: YAML, or JSON if the name ends in .json.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=f"Show the plan and change nothing; exit with {CHANGES} if it has steps.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what the file's dataset groups have and the file does not declare.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    wait_minutes: Annotated[
        float, typer.Option("--wait-minutes", min=0.0, help="How long to wait for the resources of one stage.")
    ] = 120.0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Make what a file declares: compare, show the plan, carry it out; a second run goes on or changes nothing."""
    console = Console(highlight=False, soft_wrap=True)
    buckets = Installation(data_dir).buckets if control_plane is None else None
    declaration = load(file, buckets=buckets)
    for note in declaration.notes:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(escape_controls(note), style="yellow"))
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    with connection.open() as channel:
        api = ControlPlaneApi(channel)
        planned = plan(declaration, Reader(api), prune=prune)
        for line in plan_view(planned):
            console.print(line)
        if dry_run:
            raise typer.Exit(CHANGES if planned.steps else 0)
        if planned.deletions and not yes:
            typer.confirm(f"Delete {len(planned.deletions)} resources?", abort=True)

        def report(step: Step, outcome: str) -> None:
            console.print(step_line(step, outcome))

        Executor(api, WaitPolicy(wait_minutes * 60), report=report).run(planned)
