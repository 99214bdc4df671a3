"""EventsService: PutEvents; operations that are not built yet are rejected by name."""

from __future__ import annotations

import grpc

from common.auth import current_caller
from common.errors import CorruptArtifact, ResourceNotFound
from common.operations import unimplemented_methods
from events_service.domain import RawCall, RawEvent, check_events
from events_service.domain.rules import check_tracking_id
from events_service.log import EventLog
from events_service.records import log_entry
from events_service.trackers.followed import FollowedTrackers
from protos.tailorbird.events.v1 import events_service_pb2

__all__ = ["SERVICE", "EventsServicer"]

SERVICE = events_service_pb2.DESCRIPTOR.services_by_name["EventsService"]


@unimplemented_methods(SERVICE)
class EventsServicer:
    """Appends events to the log.

    It does not inherit the generated base: the decorator gives the class every method of the contract.

    Args:
        trackers: Resolve tracking ids to datasets.
        log: Keeps the events.
        append_seconds: How long one call waits for the disk.
    """

    def __init__(self, trackers: FollowedTrackers, log: EventLog, *, append_seconds: float) -> None:
        self._trackers = trackers
        self._log = log
        self._append_seconds = append_seconds

    def PutEvents(
        self, request: events_service_pb2.PutEventsRequest, context: grpc.ServicerContext
    ) -> events_service_pb2.PutEventsResponse:
        """Append the events of a call, all or none; a response means that they are on disk."""
        tracking_id = check_tracking_id(request.tracking_id if request.HasField("tracking_id") else None)
        # The tracker holds until the events are on disk: a deletion waits for that.
        account = current_caller().account
        with self._trackers.use(tracking_id, account=account, seconds=context.time_remaining()) as tracker:
            if tracker.table is None:
                raise ResourceNotFound(
                    f"`trackingId`: got a tracker of {tracker.dataset_group_arn}, which has no Interactions dataset, "
                    "want one with a place for its events: create the dataset first"
                )
            if tracker.schema is None:
                raise CorruptArtifact(f"dataset {tracker.table.location}: its schema cannot be read")
            table = tracker.table
            events = check_events(_raw_call(request), tracker.schema)
            self._log.append(
                [log_entry(table, event, tracking_id=tracking_id) for event in events],
                seconds=min(self._append_seconds, context.time_remaining()),
            )
        return events_service_pb2.PutEventsResponse()


def _raw_call(request: events_service_pb2.PutEventsRequest) -> RawCall:
    return RawCall(
        tracking_id=request.tracking_id,
        session_id=request.session_id if request.HasField("session_id") else None,
        user_id=request.user_id if request.HasField("user_id") else None,
        events=tuple(_raw_event(event) for event in request.event_list),
    )


def _raw_event(event: events_service_pb2.Event) -> RawEvent:
    source = event.metric_attribution
    return RawEvent(
        event_type=event.event_type if event.HasField("event_type") else None,
        sent_at_millis=_millis(event) if event.HasField("sent_at") else None,
        event_id=event.event_id if event.HasField("event_id") else None,
        event_value=event.event_value if event.HasField("event_value") else None,
        item_id=event.item_id if event.HasField("item_id") else None,
        properties=event.properties if event.HasField("properties") else None,
        recommendation_id=event.recommendation_id if event.HasField("recommendation_id") else None,
        impression=tuple(event.impression),
        attribution_source=source.event_attribution_source if source.HasField("event_attribution_source") else None,
    )


def _millis(event: events_service_pb2.Event) -> int:
    return event.sent_at.seconds * 1000 + event.sent_at.nanos // 1_000_000
