"""The system as a running thing: locked data directory, checked ports, supervised processes, signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cli.installation import Installation, Running
from cli.key_folder import TokenKeeper
from cli.supervisor import GuardedOutput, LivenessPolicy, Output, Supervisor
from cli.system import Ports, check_ports, process_specs
from cli.tls import check_certificates, tls_files
from common.errors import TailorbirdError
from common.process.lifecycle import STOP_SIGNALS, stop_event

__all__ = ["handle_signals", "running_system"]

_TOKEN_CHECK_SECONDS = 1.0


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
        InvalidInput: A port is taken, or the certificates that `environ` names do not work.
    """
    tls = tls_files(environ)
    if tls is not None:
        check_certificates(tls)
    with installation.lock(Running(os.getpid(), ports.endpoint, Running.paths(tls))):
        check_ports(ports)
        specs = process_specs(installation, ports, environ=environ)
        guarded = GuardedOutput(output)
        keeping = asyncio.create_task(_keep_tokens(installation.token_keeper(), guarded))
        try:
            async with Supervisor(specs, output=guarded, liveness=liveness) as supervisor:
                yield supervisor
        finally:
            keeping.cancel()


async def _keep_tokens(keeper: TokenKeeper, output: Output) -> None:
    """Renew the tokens of the processes before they end, and at once when they are revoked; never ends by itself."""
    failed = False
    while True:
        try:
            renewed = await asyncio.to_thread(keeper.renew)
        except (OSError, TailorbirdError) as error:
            # A full disk passes; tokens are renewed long before their end.
            if not failed:
                output.note("tokens not renewed", level="error", error=str(error))
            failed = True
        else:
            failed = False
            if renewed:
                output.note("tokens renewed", processes=renewed)
        await asyncio.sleep(_TOKEN_CHECK_SECONDS)


def handle_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that SIGINT, SIGTERM or SIGHUP sets; a second such signal kills all processes at once."""
    return stop_event((*STOP_SIGNALS, signal.SIGHUP), on_repeat=supervisor.kill)
