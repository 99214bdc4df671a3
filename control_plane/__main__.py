"""Starts the control plane: `python -m control_plane`."""

from __future__ import annotations

import asyncio
import sys

from common.arn import ArnFactory
from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifecycle import run
from common.rpc import make_server, serve_until_signal
from control_plane.app_context import AppContext
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.server import ControlPlane, assemble
from control_plane.settings import ControlPlaneSettings


def main() -> None:
    """Read the settings, open the database and serve until a signal comes."""
    settings = ControlPlaneSettings()
    configure_logging("control_plane", level=settings.log_level, form=settings.log_form)
    app_context = AppContext(SystemClock(), ArnFactory(settings.region), settings.quotas())
    metadata_store = open_metadata_store(
        settings.database_url.get_secret_value(),
        wait_seconds=settings.database_wait_seconds,
        connections=settings.database_connections,
    )
    control_plane = assemble(
        metadata_store,
        app_context,
        settings.timing(),
        refuse_worse_versions=settings.refuse_worse_versions,
        automatic_training=settings.automatic_training(),
    )
    try:
        run(serve(settings, control_plane))
    finally:
        metadata_store.close()


async def serve(settings: ControlPlaneSettings, control_plane: ControlPlane) -> None:
    """Run the gRPC server and the maintenance thread until a signal comes."""
    server = make_server(control_plane.services, settings, address=settings.listen, threads=settings.max_workers)
    control_plane.maintenance.start()
    await serve_until_signal(server, grace=settings.grace_seconds, on_stop=control_plane.long_polls.close)
    await asyncio.to_thread(control_plane.maintenance.stop)


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"control_plane: {error}")
