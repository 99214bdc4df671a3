"""`tailorbird up`: the whole system on this machine, in the foreground."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, PortBase
from cli.env import Env, get_env
from cli.installation import Installation
from cli.merged_log import MergedLog
from cli.output import how_to_use
from cli.running import handle_signals, running_system
from cli.system import DEFAULT_PORT_BASE, PROCESSES, Ports
from cli.tls import tls_files
from common.process.probing import LivenessPolicy

__all__ = ["up"]


def up(
    context: typer.Context,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port_base: PortBase = DEFAULT_PORT_BASE,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write no log, only how to use the system.")] = False,
    metrics: Annotated[
        bool,
        typer.Option(
            "--metrics",
            help="Let each process show its figures to Prometheus and to `tailorbird top`, on the loopback port five "
            "behind its own: ten ports in a row.",
        ),
    ] = False,
    silent_seconds: Annotated[
        float, typer.Option(help="A process that answers no probe for so long is killed and started again.", min=1)
    ] = LivenessPolicy().silent_seconds,
) -> None:
    """Start everything, restart what crashes or hangs, stop all in order at Ctrl-C or SIGTERM."""
    liveness = LivenessPolicy(silent_seconds=silent_seconds)
    with closing(MergedLog(PROCESSES, console=Console(), quiet=quiet)) as log:
        env = get_env(context)
        ports = Ports(port_base, secure=tls_files(env.environ) is not None, metrics=metrics)
        asyncio.run(_up(data_dir, ports, env=env, log=log, liveness=liveness))


async def _up(data_dir: Path, ports: Ports, *, env: Env, log: MergedLog, liveness: LivenessPolicy) -> None:
    environ = env.environ
    installation = Installation(data_dir)
    installation.prepare()
    async with running_system(installation, ports, environ=environ, output=log, liveness=liveness) as supervisor:
        stop = handle_signals(supervisor)
        await supervisor.start(stop=stop)
        if not stop.is_set():
            first_key = installation.first_access_key(env.master_keys())
            tls = tls_files(environ)
            log.print(how_to_use(installation, ports, first_key=first_key, to_person=log.to_person, tls=tls))
            await supervisor.watch(stop)
