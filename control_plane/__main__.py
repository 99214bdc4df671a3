"""Starts the control plane: `python -m control_plane`."""

from __future__ import annotations

import sys

from common.arn import ArnFactory
from common.auth import TokenVerifier
from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.rpc import CallGate, RpcServer, serve_until_signal
from control_plane.catalogue.sql import open_catalogue
from control_plane.environment import Environment
from control_plane.server import assemble
from control_plane.settings import ControlPlaneSettings


def main() -> None:
    """Serve until a signal comes."""
    settings = ControlPlaneSettings()
    configure_logging("control_plane", level=settings.log_level, form=settings.log_form)
    environment = Environment(SystemClock(), ArnFactory(settings.region, settings.account_id), settings.quotas())
    catalogue = open_catalogue(settings.database_url)
    control_plane = assemble(
        catalogue, environment, settings.timing(), refuse_worse_versions=settings.refuse_worse_versions
    )
    server = RpcServer(
        control_plane.services,
        gate=CallGate(TokenVerifier(settings.public_key_file.read_bytes())),
        address=settings.listen,
        max_workers=settings.max_workers,
        tls=settings.tls(),
    )
    control_plane.housekeeper.start()
    serve_until_signal(server, grace=settings.grace_seconds, on_stop=control_plane.polls.close)
    control_plane.housekeeper.stop()
    catalogue.close()


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"control_plane: {error}")
