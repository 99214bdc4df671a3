"""`tailorbird up`: the whole system on this machine, in the foreground."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, PortBase
from cli.installation import Installation
from cli.merged_log import MergedLog
from cli.running import handle_signals, running_system
from cli.screen import how_to_use
from cli.surroundings import surroundings
from cli.system import DEFAULT_PORT_BASE, PROCESSES, Ports

__all__ = ["up"]


def up(
    context: typer.Context,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port_base: PortBase = DEFAULT_PORT_BASE,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write no log, only how to use the system.")] = False,
) -> None:
    """Start everything, restart what crashes, stop all in order at Ctrl-C or SIGTERM."""
    asyncio.run(_up(data_dir, Ports(port_base), environ=surroundings(context).environ, quiet=quiet))


async def _up(data_dir: Path, ports: Ports, *, environ: Mapping[str, str], quiet: bool) -> None:
    installation = Installation(data_dir)
    installation.prepare()
    console = Console()
    log = MergedLog(PROCESSES, console=Console(quiet=True) if quiet else console)
    async with running_system(installation, ports, environ=environ, output=log) as supervisor:
        stop = handle_signals(supervisor)
        await supervisor.start(stop=stop)
        if not stop.is_set():
            console.print(how_to_use(installation, ports, first_key=installation.first_access_key()))
            await supervisor.watch(stop)
