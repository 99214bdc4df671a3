"""Puts the events service together from its parts, all of them given by the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from common.process.long_poll import LongPolls
from common.rpc import Service
from common.storage import Store
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import Pace
from events_service.log import EventLog
from events_service.maintenance import Maintenance
from events_service.servicers.dataset_sink import SERVICE as SEALING_SERVICE
from events_service.servicers.dataset_sink import DatasetSinkServicer
from events_service.servicers.event_log import SERVICE as EVENT_LOG_SERVICE
from events_service.servicers.event_log import EventLogServicer
from events_service.servicers.events import SERVICE as EVENTS_SERVICE
from events_service.servicers.events import EventsServicer
from events_service.trackers import TrackerSource
from events_service.trackers.followed import FollowedTrackers
from events_service.trackers.kept import TrackerFile
from protos.tailorbird.events.v1 import events_service_pb2_grpc
from protos.tailorbird.internal.v1 import event_log_pb2_grpc

__all__ = ["EventsService", "Timing", "assemble"]


@dataclass(frozen=True, slots=True)
class Timing:
    """What parts wait by; the settings of the same names say what each means."""

    append_seconds: float = 4.0
    max_waiting: int = 200
    tracker_patience_seconds: float = 3.0
    tracker_stale_seconds: float = 3600.0
    seal_seconds: float = 1.0
    pace: Pace = field(default_factory=lambda: Pace(burst=60, steady_seconds=15.0, large_events=5000))
    compact_commits: int = 200
    log_retention: timedelta = timedelta(days=30)
    seal_alarm_seconds: float = 600.0
    deletion_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class EventsService:
    """The parts that somebody outside handles: what is served, those who wait, and the threads beside it."""

    services: tuple[Service, ...]
    polls: LongPolls
    trackers: FollowedTrackers
    housekeeper: Maintenance

    def start(self) -> None:
        """Begin what goes on beside the calls."""
        self.trackers.start()
        self.housekeeper.start()

    def stop(self) -> None:
        """Return when that is over."""
        self.housekeeper.stop()
        self.trackers.stop()


def assemble(
    log: EventLog,
    store: Store,
    trackers: TrackerSource,
    *,
    timing: Timing,
    monotonic: Callable[[], float] = time.monotonic,
    tracker_file: TrackerFile | None = None,
) -> EventsService:
    """Make an events service.

    Args:
        log: Open.
        store: Where the interactions tables are.
        trackers: Know what tracking ids stand for; followed for those who send events.
        timing: What parts wait by.
        monotonic: Returns seconds on a clock that nobody sets.
        tracker_file: Keeps what tracking ids stand for until the next start; None keeps nothing.
    """
    followed = FollowedTrackers(
        trackers,
        patience_seconds=timing.tracker_patience_seconds,
        stale_seconds=timing.tracker_stale_seconds,
        file=tracker_file,
    )
    sealer = DatasetSink(
        log,
        store,
        trackers,
        pace=timing.pace,
        compact_commits=timing.compact_commits,
        alarm_seconds=timing.seal_alarm_seconds,
        monotonic=monotonic,
    )
    polls = LongPolls(log.appended, max_waiting=timing.max_waiting)
    services = (
        Service(
            EVENTS_SERVICE,
            events_service_pb2_grpc.add_EventsServiceServicer_to_server,
            EventsServicer(followed, log, append_seconds=timing.append_seconds),
        ),
        Service(
            EVENT_LOG_SERVICE,
            event_log_pb2_grpc.add_EventLogServiceServicer_to_server,
            EventLogServicer(log, polls),
        ),
        Service(SEALING_SERVICE, event_log_pb2_grpc.add_SealingServiceServicer_to_server, DatasetSinkServicer(sealer)),
    )
    housekeeper = Maintenance(
        log,
        sealer,
        every_seconds=timing.seal_seconds,
        retention=timing.log_retention,
        deletion_seconds=timing.deletion_seconds,
        monotonic=monotonic,
    )
    return EventsService(services, polls, followed, housekeeper)
