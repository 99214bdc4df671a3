"""The system as a running thing: locked data directory, checked ports, supervised processes, signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cli.installation import Installation, Running
from cli.supervisor import LivenessPolicy, Output, Supervisor
from cli.system import Ports, check_ports, process_specs

__all__ = ["handle_signals", "running_system"]


@asynccontextmanager
async def running_system(
    installation: Installation,
    ports: Ports,
    *,
    environ: Mapping[str, str],
    output: Output,
    liveness: LivenessPolicy | None = None,
) -> AsyncIterator[Supervisor]:
    """Hold the data directory and yield a supervisor that is not started yet; stop everything afterwards.

    Raises:
        AlreadyRunning: Another process holds the directory.
        InvalidInput: A port is taken.
    """
    with installation.lock(Running(process_id=os.getpid(), endpoint=ports.endpoint)):
        check_ports(ports)
        specs = process_specs(installation, ports, environ=environ)
        async with Supervisor(specs, output=output, liveness=liveness) as supervisor:
            yield supervisor


def handle_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that SIGINT, SIGTERM or SIGHUP sets; a second such signal kills all processes at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    return stop
