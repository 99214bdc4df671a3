"""Starts the control plane: `python -m control_plane`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing

from common.arn import ArnFactory
from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifecycle import run
from common.rpc import make_server, serve_until_signal
from common.telemetry import CallObserver
from control_plane.app_context import AppContext
from control_plane.figures import JobFigures
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.server import ControlPlane, assemble
from control_plane.settings import ControlPlaneSettings


def main() -> None:
    """Read the settings, open the database and serve until a signal comes."""
    settings = ControlPlaneSettings()
    configure_logging("control_plane", level=settings.log_level, form=settings.log_form)
    telemetry = settings.telemetry()
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
        figures=telemetry.figures(),
    )
    with closing(metadata_store), telemetry.shown([JobFigures(metadata_store, app_context.clock)]):
        run(serve(settings, control_plane, telemetry.observer()))


async def serve(settings: ControlPlaneSettings, control_plane: ControlPlane, observer: CallObserver) -> None:
    """Run the gRPC server and the maintenance thread until a signal comes."""
    services, threads = control_plane.services, settings.max_workers
    server = make_server(services, settings, address=settings.listen, threads=threads, observer=observer)
    control_plane.maintenance.start()
    await serve_until_signal(server, grace=settings.grace_seconds, on_stop=control_plane.long_polls.close)
    await asyncio.to_thread(control_plane.maintenance.stop)


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"control_plane: {error}")
