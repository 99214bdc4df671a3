"""Composition root of the gateway: `python -m gateway`, a parent and the workers that answer requests.

The parent compiles what all workers use and forks them; it opens no connection and starts no thread, see
`common.process.forked`.
"""

from __future__ import annotations

import ssl
import sys
from datetime import timedelta
from functools import partial

from common.access_keys import AccessKeys
from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.forked import Beat, Endless, WorkerSpec, run_workers_until_signal
from common.process.shared_port import shared_port
from common.rpc import file_token
from common.settings import TlsFiles
from gateway.auth import SignatureVerifier
from gateway.backends import BackendClients
from gateway.http import HttpServer
from gateway.protocol import load_operations
from gateway.server import create_app
from gateway.settings import GatewaySettings
from gateway.workers import StartedWorkers


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    configure_logging("gateway", level=settings.log_level, form=settings.log_form)
    token = file_token(settings.token_file)
    # What cannot be read stops the gateway here: workers would be started again and again.
    AccessKeys(settings.access_keys_file).list()
    token()
    _check_certificate(settings.tls())
    operations = load_operations()
    started = StartedWorkers(settings.worker_count())

    def serve(address: str, number: int, _: Beat) -> Endless:
        app = create_app(
            operations,
            verifier=SignatureVerifier(
                AccessKeys(settings.access_keys_file),
                clock=SystemClock(),
                tolerance=timedelta(seconds=settings.clock_tolerance_seconds),
                region=settings.signing_region,
            ),
            connect=lambda: BackendClients(settings.backends(), operations=operations, token=token, tls=settings.tls()),
            limits=settings.call_limits(),
            stop=(stop := settings.stop()),
            all_started=started.all_started,
            allowed_origins=settings.origins(),
        )
        server = HttpServer(
            app,
            address=address,
            limits=settings.connection_limits(),
            stop=stop,
            tls=settings.tls(),
            shared=True,
            on_started=partial(started.mark, number),
        )
        return server.run_until_cancelled()

    with shared_port(settings.listen) as address:
        workers = [WorkerSpec(f"worker-{n}", partial(serve, address, n)) for n in range(settings.worker_count())]
        run_workers_until_signal(workers, settings.patience())


def _check_certificate(tls: TlsFiles | None) -> None:
    if tls is not None and tls.cert_file and tls.key_file:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"gateway: {error}")
