"""Starts the events service: `python -m events_service`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing

from common.clock import SystemClock
from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifecycle import run
from common.recommendation_ids import recommendation_ids
from common.rpc import channel, file_token, make_server, serve_until_signal
from common.settings import forget_settings
from common.storage.objects import open_store
from common.telemetry import CallObserver
from events_service.attribution.state import AttributionState
from events_service.opening import open_log
from events_service.server import AttributionParts, EventsService, assemble
from events_service.settings import EventsSettings
from events_service.trackers.kept import TrackerFile
from events_service.trackers.remote import RemoteTrackers, service_id


def main() -> None:
    """Serve until a signal comes."""
    settings = EventsSettings()
    forget_settings(os.environ)
    configure_logging("events_service", level=settings.log_level, form=settings.log_form)
    token, telemetry = file_token(settings.token_file), settings.telemetry()
    token()  # one that is missing stops the process here and not at the first event
    control_plane = channel(settings.control_plane, token=token, tls=settings.tls())
    clock, ids, figures = SystemClock(), recommendation_ids(settings), telemetry.figures()
    log = open_log(settings, clock, figures=figures)
    state = AttributionState(settings.data_dir / "metric_attribution.db", end=log.lineage().at(log.bounds().end - 1))
    trackers = RemoteTrackers(control_plane, service_id=service_id(settings.listen))
    kept, timing = TrackerFile(settings.data_dir / "trackers.json"), settings.timing()
    store = open_store(settings)
    parts = AttributionParts(state, ids, settings.outputs(), clock, state.name if settings.event_log_url else "")
    service = assemble(log, store, trackers, timing=timing, tracker_file=kept, attribution=parts, figures=figures)
    with closing(control_plane), closing(log), closing(state), telemetry.shown(service.sources):
        run(serve(settings, service, telemetry.observer()))


async def serve(settings: EventsSettings, events_service: EventsService, observer: CallObserver) -> None:
    """Answer calls until a signal comes."""
    services, threads = events_service.services, settings.max_workers
    server = make_server(services, settings, address=settings.listen, threads=threads, observer=observer)
    events_service.start()
    await serve_until_signal(server, grace=settings.grace_seconds, on_stop=events_service.polls.close)
    await asyncio.to_thread(events_service.stop)


if __name__ == "__main__":
    try:
        main()
    except (TailorbirdError, OSError) as error:
        sys.exit(f"events_service: {error}")
