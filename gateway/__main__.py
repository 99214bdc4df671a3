"""Composition root of the gateway process: `python -m gateway`."""

from __future__ import annotations

import gc
import sys
from datetime import timedelta

from common.access_keys import AccessKeys
from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifecycle import run
from common.rpc import file_token
from gateway.auth import SignatureVerifier
from gateway.backends import BackendClients
from gateway.http import HttpServer
from gateway.protocol import load_operations
from gateway.server import create_app
from gateway.settings import GatewaySettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    configure_logging("gateway", level=settings.log_level, form=settings.log_form)
    keys = AccessKeys(settings.access_keys_file)
    token = file_token(settings.token_file)
    # A file that others can read, or a token that is missing, stops the gateway here and not at the first request.
    keys.list()
    token()
    operations = load_operations()
    app = create_app(
        operations,
        verifier=SignatureVerifier(
            keys,
            clock=SystemClock(),
            tolerance=timedelta(seconds=settings.clock_tolerance_seconds),
            region=settings.signing_region,
        ),
        connect=lambda: BackendClients(settings.backends(), operations=operations, token=token, tls=settings.tls()),
        limits=settings.call_limits(),
        stop=(stop := settings.stop()),
        allowed_origins=settings.origins(),
    )
    server = HttpServer(
        app, address=settings.listen, limits=settings.connection_limits(), stop=stop, tls=settings.tls()
    )
    gc.freeze()  # what was compiled above lives as long as the process: collections can skip it
    run(server.run_until_signal())


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"gateway: {error}")
