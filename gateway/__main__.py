"""Composition root of the gateway: `python -m gateway`, a parent that forks the workers which answer requests."""

from __future__ import annotations

import sys
from functools import partial

from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.forked import Beat, Endless, WorkerSpec, run_workers_until_signal
from common.process.shared_port import shared_port
from common.rpc import file_token
from gateway.auth import SignatureVerifier
from gateway.backends import BackendClients
from gateway.http import HttpServer, check_certificate
from gateway.protocol import load_operations
from gateway.server import create_app
from gateway.settings import GatewaySettings
from gateway.workers import StartedWorkers


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    configure_logging("gateway", level=settings.log_level, form=settings.log_form)
    keys, token, tls = settings.access_keys(), file_token(settings.token_file), settings.tls()
    # What cannot be read ends the gateway here: its workers would be started again and again.
    keys.list(), token()
    check_certificate(tls)
    verifier = SignatureVerifier(keys, clock=SystemClock(), **settings.signatures())
    operations, started, telemetry = load_operations(), StartedWorkers(settings.worker_count()), settings.telemetry()

    def serve(address: str, number: int, name: str, _: Beat) -> Endless:
        app = create_app(
            operations,
            verifier=verifier,
            access=settings.access(),
            connect=lambda: BackendClients(settings.backends(), operations=operations, token=token, tls=tls),
            limits=settings.call_limits(),
            stop=(stop := settings.stop()),
            all_started=started.all_started,
            allowed_origins=settings.origins(),
            figures=telemetry.figures(name),
            tracer=telemetry.tracer(name),
        )
        limits, mark = settings.connection_limits(), partial(started.mark, number)
        server = HttpServer(app, address=address, limits=limits, stop=stop, tls=tls, shared=True, on_started=mark)
        return telemetry.until_sent(server.run_until_cancelled())

    with shared_port(settings.listen) as address:
        workers = [WorkerSpec(name, partial(serve, address, n, name)) for n, name in enumerate(settings.worker_names())]
        run_workers_until_signal(telemetry.observed(workers), settings.patience())


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"gateway: {error}")
