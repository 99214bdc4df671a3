"""Puts the events service together from its parts, all of them given by the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from common.clock import Clock
from common.files.outputs import Outputs
from common.process.long_poll import LongPolls
from common.process.periodic import PeriodicThread
from common.recommendation_ids import RecommendationIds
from common.rpc import Service
from common.storage import Store
from common.telemetry import NO_FIGURES, Figures, Source
from events_service.attribution.counter import MetricAttributionCounter
from events_service.attribution.figures import AttributionFigures
from events_service.attribution.reports import AttributionReports
from events_service.attribution.state import AttributionState
from events_service.consumers import Consumer
from events_service.consumers.rounds import ConsumerRounds
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import CommitRateLimit
from events_service.figures import LogFigures
from events_service.log import EventLog
from events_service.maintenance import Maintenance
from events_service.servicers.dataset_sink import SERVICE as DATASET_SINK_SERVICE
from events_service.servicers.dataset_sink import DatasetSinkServicer
from events_service.servicers.event_log import SERVICE as EVENT_LOG_SERVICE
from events_service.servicers.event_log import EventLogServicer
from events_service.servicers.events import SERVICE as EVENTS_SERVICE
from events_service.servicers.events import EventsServicer
from events_service.servicers.local_storage import SERVICE as LOCAL_STORAGE_SERVICE
from events_service.servicers.local_storage import LocalStorageServicer
from events_service.trackers import Tables, TrackerSource
from events_service.trackers.followed import FollowedTrackers
from events_service.trackers.kept import TrackerFile
from events_service.user_records import UserRecords
from protos.tailorbird.events.v1 import events_service_pb2_grpc
from protos.tailorbird.internal.v1 import event_log_pb2_grpc, local_storage_pb2_grpc

__all__ = ["AttributionParts", "EventsService", "Timing", "assemble"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Times and rates of the parts; `EventsSettings` says what each means (its `seal_*` are `flush_*` here)."""

    append_seconds: float = 4.0
    max_waiting: int = 200
    tracker_patience_seconds: float = 3.0
    tracker_stale_seconds: float = 3600.0
    flush_seconds: float = 1.0
    commit_rate: CommitRateLimit = field(
        default_factory=lambda: CommitRateLimit(burst=60, steady_seconds=15.0, large_events=5000)
    )
    compact_commits: int = 200
    log_retention: timedelta = timedelta(days=30)
    alarm_seconds: float = 600.0
    deletion_seconds: float = 10.0
    attribution_seconds: float = 15.0
    attribution_report_seconds: int = 900


@dataclass(frozen=True, slots=True)
class AttributionParts:
    """What metric attribution needs beside the log and the trackers.

    Attributes:
        state: Keeps the sums.
        ids: Resolve recommendations.
        outputs: Write the reports.
        clock: The time of day.
        writer: Part of the names of reports where several services write them; empty for one.
    """

    state: AttributionState
    ids: RecommendationIds
    outputs: Outputs
    clock: Clock
    writer: str = ""


@dataclass(frozen=True, slots=True)
class EventsService:
    """The parts that the process handles: services, long polls, background threads, and what they show.

    Attributes:
        services: What the gRPC server serves.
        polls: The waiting calls; to be closed when the process stops.
        trackers: The set of trackers, followed.
        maintenance: The work on the log that no consumer does.
        background: All threads.
        sources: Figures that are read and not counted.
    """

    services: tuple[Service, ...]
    polls: LongPolls
    trackers: FollowedTrackers
    maintenance: Maintenance
    background: tuple[PeriodicThread | Maintenance, ...]
    sources: tuple[Source, ...]

    def start(self) -> None:
        """Start the background threads."""
        self.trackers.start()
        for work in self.background:
            work.start()

    def stop(self) -> None:
        """Stop the background threads; what is not consumed yet stays in the log for the next start."""
        for work in self.background:
            work.stop()
        self.trackers.stop()


def assemble(
    log: EventLog,
    store: Store,
    trackers: TrackerSource,
    *,
    timing: Timing,
    monotonic: Callable[[], float] = time.monotonic,
    tracker_file: TrackerFile | None = None,
    attribution: AttributionParts | None = None,
    figures: Figures = NO_FIGURES,
) -> EventsService:
    """Make an events service.

    Args:
        log: The open log.
        store: Holds the interactions tables.
        trackers: Where the set of trackers is watched.
        timing: Times and rates of the parts.
        monotonic: Returns seconds on a clock that nobody sets.
        tracker_file: Keeps the set of trackers for the next start; None keeps nothing.
        attribution: Parts of metric attribution; None for a service that counts nothing.
        figures: Count what consumers do.
    """
    followed = FollowedTrackers(
        trackers,
        patience_seconds=timing.tracker_patience_seconds,
        stale_seconds=timing.tracker_stale_seconds,
        file=tracker_file,
    )
    sink = DatasetSink(
        log,
        store,
        trackers,
        commit_rate=timing.commit_rate,
        compact_commits=timing.compact_commits,
        monotonic=monotonic,
    )
    polls = LongPolls(log.appended, max_waiting=timing.max_waiting)
    services = [
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
        Service(
            LOCAL_STORAGE_SERVICE,
            local_storage_pb2_grpc.add_LocalStorageServiceServicer_to_server,
            LocalStorageServicer(log),
        ),
    ]
    servicer = DatasetSinkServicer(sink, log, UserRecords(log, store, monotonic=monotonic), store)
    services.append(Service(DATASET_SINK_SERVICE, event_log_pb2_grpc.add_SealingServiceServicer_to_server, servicer))
    maintenance = Maintenance(
        log,
        sink,
        every_seconds=timing.flush_seconds,
        retention=timing.log_retention,
        deletion_seconds=timing.deletion_seconds,
        monotonic=monotonic,
    )
    threads: list[PeriodicThread | Maintenance] = [_thread(log, sink, timing, monotonic, figures), maintenance]
    sources: list[Source] = [LogFigures(log, (sink.name, MetricAttributionCounter.name))]
    if attribution is not None:
        sources.append(AttributionFigures(attribution.state))
        threads += _attribution_threads(log, store, followed, trackers, attribution, timing, monotonic, figures)
    return EventsService(tuple(services), polls, followed, maintenance, tuple(threads), tuple(sources))


def _attribution_threads(
    log: EventLog,
    store: Store,
    followed: FollowedTrackers,
    tables: Tables,
    parts: AttributionParts,
    timing: Timing,
    monotonic: Callable[[], float],
    figures: Figures,
) -> tuple[PeriodicThread, ...]:
    """Return the threads that count for metric attributions, and that write their reports."""
    counter = MetricAttributionCounter(
        log,
        store,
        parts.state,
        attributions=followed.attributions,
        tables=tables,
        ids=parts.ids,
        clock=parts.clock,
        every_seconds=timing.attribution_seconds,
        monotonic=monotonic,
    )
    reports = AttributionReports(
        log,
        parts.state,
        attributions=followed.attributions,
        outputs=parts.outputs,
        clock=parts.clock,
        period_seconds=timing.attribution_report_seconds,
        monotonic=monotonic,
        writer=parts.writer,
    )
    writing = PeriodicThread(
        reports.run,
        name="attribution_reports",
        every_seconds=timing.flush_seconds,
        failure_event="attribution_reports_failed",
    )
    return _thread(log, counter, timing, monotonic, figures), writing


def _thread(
    log: EventLog, consumer: Consumer, timing: Timing, monotonic: Callable[[], float], figures: Figures
) -> PeriodicThread:
    """Return the thread that offers a consumer its records again and again."""
    rounds = ConsumerRounds(log, consumer, alarm_seconds=timing.alarm_seconds, monotonic=monotonic, figures=figures)
    thread = PeriodicThread(
        lambda: rounds.run(stopping=lambda: thread.stopping or not log.consumes()),
        name=consumer.name,
        every_seconds=timing.flush_seconds,
        failure_event="consumer_round_failed",
    )
    return thread
