"""What the records of the log hold: one class for each kind of content, and its form as a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError, Message

from common.errors import CorruptArtifact
from common.logs import get_logger
from events_service.domain import ActionInteraction, Entity, Event
from events_service.log import LogEntry, LoggedRecord, LogTable, RecordKind
from protos.tailorbird.internal.v1 import records_pb2

__all__ = ["Content", "content_of", "contents", "leave_out", "log_entry", "logged_message"]

_log = get_logger(__name__)
Content: TypeAlias = Event | Entity | ActionInteraction

#: The kind of the records of a dataset, by its type.
_KINDS: Final[Mapping[str, RecordKind]] = MappingProxyType(
    {
        "INTERACTIONS": RecordKind.EVENT,
        "ITEMS": RecordKind.ITEM,
        "USERS": RecordKind.USER,
        "ACTIONS": RecordKind.ACTION,
        "ACTION_INTERACTIONS": RecordKind.ACTION_INTERACTION,
    }
)
#: The member of `LoggedRecord.content` for each kind.
_MEMBERS: Final[Mapping[RecordKind, str]] = MappingProxyType({kind: kind.name.lower() for kind in RecordKind})


def log_entry(table: LogTable, content: Content, *, tracking_id: str = "") -> LogEntry:
    """Return the entry that appends a content to a table's records.

    Args:
        table: Its type of dataset says which kind of record it is.
        content: Of the class of that kind.
        tracking_id: The tracker that took it.
    """
    message = _event_message(content) if isinstance(content, Event) else _message(content)
    record_id = None if isinstance(content, Entity) else content.event_id
    return LogEntry(table, _KINDS[table.dataset_type], message.SerializeToString(), tracking_id, record_id)


def content_of(record: LoggedRecord) -> Any:
    """Return what a record holds, a `Content` of the class of its kind.

    Raises:
        CorruptArtifact: The log's file is damaged there.
    """
    try:
        return _READERS[record.kind](record.payload)
    except DecodeError as error:
        raise _damaged(record) from error


def contents(records: Iterable[LoggedRecord]) -> Iterator[tuple[LoggedRecord, Any]]:
    """Yield records with what they hold; those that are damaged are left out."""
    for record in records:
        try:
            content = content_of(record)
        except CorruptArtifact as error:
            leave_out(record, error)
        else:
            yield record, content


def leave_out(record: LoggedRecord, error: CorruptArtifact) -> None:
    """Log as an ERROR that a record is passed over.

    One that is damaged, or of a program with other rules, must not keep back all that come after it. It stays in the
    log as long as the others.
    """
    _log.error(
        "record_left_out",
        offset=record.offset,
        kind=record.kind.name,
        dataset_group_arn=record.dataset_group_arn,
        message=error.message,
    )


def logged_message(record: LoggedRecord) -> records_pb2.LoggedRecord:
    """Return a record as readers of the log get it.

    Raises:
        CorruptArtifact: The log's file is damaged there.
    """
    message = records_pb2.LoggedRecord(
        offset=record.offset, tracking_id=record.tracking_id, dataset_group_arn=record.dataset_group_arn
    )
    try:
        getattr(message, _MEMBERS[record.kind]).MergeFromString(record.payload)
    except DecodeError as error:
        raise _damaged(record) from error
    return message


def _damaged(record: LoggedRecord) -> CorruptArtifact:
    return CorruptArtifact(f"event log: the {record.kind.name.lower()} at offset {record.offset} cannot be read")


def _event_message(event: Event) -> Message:
    return records_pb2.EventRecord(
        event_id=event.event_id,
        user_id=event.user_id,
        session_id=event.session_id,
        event_type=event.event_type,
        event_value=event.event_value,
        item_id=event.item_id,
        sent_at_millis=event.sent_at_millis,
        properties_json=event.properties_json,
        impression=event.impression,
        recommendation_id=event.recommendation_id,
        attribution_source=event.attribution_source,
    )


def _message(content: Entity | ActionInteraction) -> Message:
    if isinstance(content, Entity):
        return records_pb2.EntityRecord(entity_id=content.entity_id, properties_json=content.properties_json)
    return records_pb2.ActionInteractionRecord(
        event_id=content.event_id,
        user_id=content.user_id,
        session_id=content.session_id,
        event_type=content.event_type,
        action_id=content.action_id,
        sent_at_millis=content.sent_at_millis,
        properties_json=content.properties_json,
        impression=content.impression,
        recommendation_id=content.recommendation_id,
    )


def _event(payload: bytes) -> Event:
    message = records_pb2.EventRecord.FromString(payload)
    return Event(
        event_id=message.event_id,
        session_id=message.session_id,
        event_type=message.event_type,
        sent_at_millis=message.sent_at_millis,
        user_id=message.user_id if message.HasField("user_id") else None,
        event_value=message.event_value if message.HasField("event_value") else None,
        item_id=message.item_id if message.HasField("item_id") else None,
        properties_json=message.properties_json if message.HasField("properties_json") else None,
        recommendation_id=message.recommendation_id if message.HasField("recommendation_id") else None,
        impression=tuple(message.impression),
        attribution_source=message.attribution_source if message.HasField("attribution_source") else None,
    )


def _entity(payload: bytes) -> Entity:
    message = records_pb2.EntityRecord.FromString(payload)
    return Entity(message.entity_id, message.properties_json if message.HasField("properties_json") else None)


def _action_interaction(payload: bytes) -> ActionInteraction:
    message = records_pb2.ActionInteractionRecord.FromString(payload)
    return ActionInteraction(
        event_id=message.event_id,
        session_id=message.session_id,
        event_type=message.event_type,
        sent_at_millis=message.sent_at_millis,
        action_id=message.action_id,
        user_id=message.user_id if message.HasField("user_id") else None,
        properties_json=message.properties_json if message.HasField("properties_json") else None,
        recommendation_id=message.recommendation_id if message.HasField("recommendation_id") else None,
        impression=tuple(message.impression),
    )


_READERS: Final[Mapping[RecordKind, Callable[[bytes], Any]]] = MappingProxyType(
    {
        RecordKind.EVENT: _event,
        RecordKind.ITEM: _entity,
        RecordKind.USER: _entity,
        RecordKind.ACTION: _entity,
        RecordKind.ACTION_INTERACTION: _action_interaction,
    }
)
