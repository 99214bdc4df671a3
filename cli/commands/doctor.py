"""`tailorbird doctor`: checks whether the system can run on this machine."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.checks import all_checks
from cli.commands.options import DEFAULT_DATA_DIR, DataDir, PortBase
from cli.env import get_env
from cli.installation import Installation
from cli.system import DEFAULT_PORT_BASE, Ports

__all__ = ["doctor"]

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "failed": "[bold red]failed[/]"}


def doctor(
    context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, port_base: PortBase = DEFAULT_PORT_BASE
) -> None:
    """Check this machine and say how to mend what is wrong; exit with 1 when the system cannot work."""
    running = Installation(data_dir).running()
    environ = get_env(context).environ
    findings = list(all_checks(data_dir, Ports(port_base), endpoint_in_use=running is not None, environ=environ))
    table = Table("check", "", "found", "what to do")
    for finding in findings:
        table.add_row(finding.check, _MARKS[finding.verdict], escape(finding.detail), escape(finding.hint))
    Console().print(table)
    failed = [finding.check for finding in findings if finding.verdict == "failed"]
    if failed:
        raise typer.Exit(1)
