"""Runs the whole system: locks the data directory, checks the ports, supervises the processes, handles signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cli.installation import Installation, Running
from cli.key_folder import TokenKeeper
from cli.supervisor import GuardedOutput, Output, Supervisor
from cli.system import Ports, check_ports, process_specs, stop_seconds
from cli.tls import check_certificates, tls_files
from common.errors import TailorbirdError
from common.process.lifecycle import STOP_SIGNALS, stop_event
from common.process.probing import LivenessPolicy

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
    """Lock the data directory and yield a supervisor that is not started yet; stop everything afterwards.

    Args:
        installation: The data directory, prepared.
        ports: Ports of the processes.
        environ: The environment of the command.
        output: Where the lines of the processes go.
        liveness: When a process counts as hanging; None for the defaults.

    Raises:
        AlreadyRunning: Another process has locked the directory.
        InvalidInput: A port is taken, or the certificates that `environ` names do not work.
    """
    tls = tls_files(environ)
    if tls is not None:
        check_certificates(tls)
    with installation.lock(Running(os.getpid(), ports.endpoint, Running.paths(tls), ports.metrics)):
        check_ports(ports)
        specs = process_specs(installation, ports, environ=environ)
        guarded = GuardedOutput(output)
        renewing = asyncio.create_task(_renew_tokens(installation.token_keeper(), guarded))
        try:
            grace_seconds = max(stop_seconds(spec.environment) for spec in specs)
            async with Supervisor(specs, output=guarded, liveness=liveness, grace_seconds=grace_seconds) as supervisor:
                yield supervisor
        finally:
            renewing.cancel()


async def _renew_tokens(keeper: TokenKeeper, output: Output) -> None:
    """Renew the tokens of the processes before they expire, and at once when they are revoked, until cancelled."""
    failed = False
    while True:
        try:
            renewed = await asyncio.to_thread(keeper.renew)
        except Exception as error:  # noqa: BLE001 - without this task all tokens end within the hour, whatever it was
            # The next attempts may succeed: tokens are renewed long before they expire.
            if not failed:
                is_expected = isinstance(error, OSError | TailorbirdError)
                output.note("tokens not renewed", level="error", error=str(error) if is_expected else repr(error))
            failed = True
        else:
            failed = False
            if renewed:
                output.note("tokens renewed", processes=renewed)
        await asyncio.sleep(_TOKEN_CHECK_SECONDS)


def handle_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that SIGINT, SIGTERM or SIGHUP sets; a second such signal kills all processes at once."""
    return stop_event((*STOP_SIGNALS, signal.SIGHUP), on_repeat=supervisor.kill)
