"""EventsService: events, action interactions, items, users and actions are checked and appended to the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from common.auth import current_caller
from common.avro import AvroSchema
from common.errors import CorruptArtifact, ResourceNotFound, Unavailable, invalid
from common.process.completion import completed
from common.rpc import tell_offset
from events_service.domain import RawActionInteraction, RawCall, RawEvent, check_events
from events_service.domain.action_interactions import check_action_interactions
from events_service.domain.entities import ACTIONS, ITEMS, USERS, EntityType, RawEntity, UnknownColumn, check_entities
from events_service.domain.rules import check_tracking_id
from events_service.log import EventLog, LogEntry, LogTable
from events_service.records import Content, log_entry
from events_service.trackers import Tracker
from events_service.trackers.followed import FollowedTrackers, TrackerInUse
from protos.tailorbird.events.v1 import events_service_pb2, events_service_pb2_grpc

__all__ = ["SERVICE", "EventsServicer"]

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
SERVICE = events_service_pb2.DESCRIPTOR.services_by_name["EventsService"]


@dataclass(frozen=True, slots=True)
class _Target:
    """The table that a call's records go to, with its schema."""

    table: LogTable
    schema: AvroSchema


#: What the entries of a call are worked out from.
_Entries: TypeAlias = Callable[[_Target], list[LogEntry]]


class EventsServicer(events_service_pb2_grpc.EventsServiceServicer):
    """Appends records to the log: those of a call all or none; a response means that they are on disk.

    Args:
        trackers: Resolve tracking ids and ARNs to datasets.
        log: Keeps the records.
        append_seconds: How long one call waits for the disk.
    """

    def __init__(self, trackers: FollowedTrackers, log: EventLog, *, append_seconds: float) -> None:
        self._trackers = trackers
        self._log = log
        self._append_seconds = append_seconds

    async def PutEvents(
        self, request: events_service_pb2.PutEventsRequest, context: Context
    ) -> events_service_pb2.PutEventsResponse:
        """Append events."""
        tracking_id = check_tracking_id(request.tracking_id if request.HasField("tracking_id") else None)

        def entries(target: _Target) -> list[LogEntry]:
            return _entries(target, check_events(_raw_call(request), target.schema), tracking_id=tracking_id)

        await self._put("trackingId", tracking_id, "INTERACTIONS", entries, context)
        return events_service_pb2.PutEventsResponse()

    async def PutActionInteractions(
        self, request: events_service_pb2.PutActionInteractionsRequest, context: Context
    ) -> events_service_pb2.PutActionInteractionsResponse:
        """Append interactions with actions."""
        tracking_id = check_tracking_id(request.tracking_id if request.HasField("tracking_id") else None)

        def entries(target: _Target) -> list[LogEntry]:
            sent = [_raw_action_interaction(item) for item in request.action_interactions]
            return _entries(target, check_action_interactions(sent, target.schema), tracking_id=tracking_id)

        await self._put("trackingId", tracking_id, "ACTION_INTERACTIONS", entries, context)
        return events_service_pb2.PutActionInteractionsResponse()

    async def PutItems(
        self, request: events_service_pb2.PutItemsRequest, context: Context
    ) -> events_service_pb2.PutItemsResponse:
        """Append items, each of which replaces the one with its id."""
        sent = [_raw_entity(item, item.item_id if item.HasField("item_id") else None) for item in request.items]
        await self._put_entities(request.dataset_arn, ITEMS, sent, context)
        return events_service_pb2.PutItemsResponse()

    async def PutUsers(
        self, request: events_service_pb2.PutUsersRequest, context: Context
    ) -> events_service_pb2.PutUsersResponse:
        """Append users, each of which replaces the one with its id."""
        sent = [_raw_entity(item, item.user_id if item.HasField("user_id") else None) for item in request.users]
        await self._put_entities(request.dataset_arn, USERS, sent, context)
        return events_service_pb2.PutUsersResponse()

    async def PutActions(
        self, request: events_service_pb2.PutActionsRequest, context: Context
    ) -> events_service_pb2.PutActionsResponse:
        """Append actions, each of which replaces the one with its id."""
        sent = [_raw_entity(item, item.action_id if item.HasField("action_id") else None) for item in request.actions]
        await self._put_entities(request.dataset_arn, ACTIONS, sent, context)
        return events_service_pb2.PutActionsResponse()

    async def _put_entities(
        self, dataset_arn: str, kind: EntityType, sent: Sequence[RawEntity], context: Context
    ) -> None:
        if not dataset_arn:
            raise invalid("datasetArn", got=None, want="the ARN of a dataset: the field is required")

        def entries(target: _Target) -> list[LogEntry]:
            return _entries(target, check_entities(sent, target.schema, kind))

        await self._put("datasetArn", dataset_arn, kind.dataset_type, entries, context)

    async def _put(self, field: str, key: str, dataset_type: str, entries: _Entries, context: Context) -> None:
        """Append what a call sends, and tell its offset; its dataset holds until that is over: a deletion waits for it.

        All is done on the event loop, where a call costs no way to a thread and back; only one whose tracker or dataset
        is not known yet, or has no such column as far as is known, waits in a thread until that is known.

        Raises:
            InvalidInput: The key is of a dataset of another type, or a record is invalid.
            ResourceNotFound: There is no such dataset, or a tracker without one.
            Unavailable: The records may or may not be kept.
        """
        account = current_caller().account
        remaining: float | None = context.time_remaining()  # the stubs leave the None out
        used = self._trackers.use_now(key, account=account)
        future = None if used is None else self._submit(used, entries, field, dataset_type)
        if used is None or future is None:
            seconds = self._append_seconds if remaining is None else remaining
            put = partial(self._put_waiting, field, key, dataset_type, entries, account, seconds)
            return self._tell(await asyncio.to_thread(put, is_new_set=used is not None), context)
        # Also if the caller leaves in between: the log may still write the records.
        future.add_done_callback(lambda _: used.end_use())
        seconds = self._append_seconds if remaining is None else min(self._append_seconds, remaining)
        try:
            offsets = await completed(future, seconds=seconds)
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(
                f"event log: got no acknowledgement within {seconds:g} s; records may or may not be kept, so repeat "
                "the call: what is kept already is not added again"
            ) from error
        return self._tell(offsets, context)

    def _submit(
        self, used: TrackerInUse, entries: _Entries, field: str, dataset_type: str
    ) -> Future[tuple[int, ...]] | None:
        """Let the log write what a call sends; None where the dataset lacks a column, as far as is known now."""
        try:
            return self._log.submit(entries(_target(used.tracker, field, dataset_type)))
        except BaseException as error:
            used.end_use()
            if isinstance(error, UnknownColumn):
                return None
            raise

    def _tell(self, offsets: Sequence[int], context: Context) -> None:
        """Send the last offset behind the acknowledgement: answers that include it include all that was sent."""
        tell_offset(context, self._log.position(max(offsets)))

    def _put_waiting(
        self,
        field: str,
        key: str,
        dataset_type: str,
        entries: _Entries,
        account: str | None,
        seconds: float,
        *,
        is_new_set: bool,
    ) -> tuple[int, ...]:
        ends = time.monotonic() + seconds
        with self._trackers.use(key, field=field, account=account, seconds=seconds, is_new_set=is_new_set) as tracker:
            left = max(ends - time.monotonic(), 0.0)
            sent = entries(_target(tracker, field, dataset_type))
            return self._log.append(sent, seconds=min(self._append_seconds, left))


def _target(tracker: Tracker, field: str, dataset_type: str) -> _Target:
    """Return where the records of a call go.

    Raises:
        InvalidInput: The key was that of a dataset of another type.
        ResourceNotFound: It was that of a tracker without a dataset.
    """
    if tracker.table is None:
        raise ResourceNotFound(
            f"`{field}`: got a tracker of {tracker.dataset_group_arn}, which has no Interactions dataset, "
            "want one with a place for its events: create the dataset first"
        )
    if tracker.table.dataset_type != dataset_type:
        got = f"that of a dataset of type {tracker.table.dataset_type}"
        raise invalid(field, got=got, want=f"one of type {dataset_type}")
    if tracker.schema is None:
        raise CorruptArtifact(f"dataset {tracker.table.location}: its schema cannot be read")
    return _Target(tracker.table, tracker.schema)


def _entries(target: _Target, contents: Sequence[Content], *, tracking_id: str = "") -> list[LogEntry]:
    return [log_entry(target.table, content, tracking_id=tracking_id) for content in contents]


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
        sent_at_millis=_millis(event.sent_at) if event.HasField("sent_at") else None,
        event_id=event.event_id if event.HasField("event_id") else None,
        event_value=event.event_value if event.HasField("event_value") else None,
        item_id=event.item_id if event.HasField("item_id") else None,
        properties=event.properties if event.HasField("properties") else None,
        recommendation_id=event.recommendation_id if event.HasField("recommendation_id") else None,
        impression=tuple(event.impression) if event.impression else (),
        attribution_source=source.event_attribution_source if source.HasField("event_attribution_source") else None,
    )


def _raw_action_interaction(interaction: events_service_pb2.ActionInteraction) -> RawActionInteraction:
    return RawActionInteraction(
        action_id=interaction.action_id if interaction.HasField("action_id") else None,
        user_id=interaction.user_id if interaction.HasField("user_id") else None,
        session_id=interaction.session_id if interaction.HasField("session_id") else None,
        event_type=interaction.event_type if interaction.HasField("event_type") else None,
        sent_at_millis=_millis(interaction.timestamp) if interaction.HasField("timestamp") else None,
        event_id=interaction.event_id if interaction.HasField("event_id") else None,
        recommendation_id=interaction.recommendation_id if interaction.HasField("recommendation_id") else None,
        impression=tuple(interaction.impression),
        properties=interaction.properties if interaction.HasField("properties") else None,
    )


def _raw_entity(
    entity: events_service_pb2.Item | events_service_pb2.User | events_service_pb2.Action, entity_id: str | None
) -> RawEntity:
    return RawEntity(entity_id, properties=entity.properties if entity.HasField("properties") else None)


def _millis(moment: Timestamp) -> int:
    return moment.seconds * 1000 + moment.nanos // 1_000_000
