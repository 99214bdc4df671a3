"""What PutEvents accepts: Personalize's limits, and the schema of the Interactions dataset."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from common import columns
from common.avro import AvroField, AvroSchema
from common.columns import normalise_key
from common.errors import InvalidInput, invalid
from common.features.values import convert, describe_values
from events_service.domain.events import Event, RawCall, RawEvent
from events_service.domain.fields import (
    MAX_RECOMMENDATION_ID,
    check_impression,
    check_millis,
    check_required,
    check_text,
)
from events_service.domain.members import MEMBERS, InProperties, Member, member_of
from events_service.domain.properties import parse_properties, write_properties
from events_service.domain.rows import check_columns

__all__ = ["MAX_EVENTS", "MAX_EVENT_BYTES", "check_events", "check_tracking_id"]

MAX_EVENTS: Final = 10
MAX_EVENT_BYTES: Final = 10 * 1024
#: Characters of properties that do not make an event too large, whatever its ids: all five together have at most
#: 1320 characters, and none takes more than 6 bytes.
_PLAIN_PROPERTIES: Final = 256
_OF_CALL: Final = tuple(member for member in MEMBERS if member.required and member.of_call)
_OF_EVENT: Final = tuple(member for member in MEMBERS if member.required and not member.of_call)
_ATTRIBUTION_SOURCE: Final = re.compile(r"[\x20-\x7E]{1,1024}")
_NUMBER: Final = AvroField(columns.EVENT_VALUE, "float", nullable=True)


def check_tracking_id(tracking_id: str | None) -> str:
    """Return the tracking id.

    Raises:
        InvalidInput: It is missing or too long.
    """
    return check_required("trackingId", tracking_id)


def check_events(call: RawCall, schema: AvroSchema) -> tuple[Event, ...]:
    """Return the events of a call, validated.

    Args:
        call: As sent.
        schema: That of the Interactions dataset that the events go to.

    Raises:
        InvalidInput: Anything at all is wrong with the call; then none of its events is kept.
    """
    _require(call, _OF_CALL)
    session_id, user_id = check_text("sessionId", call.session_id), check_text("userId", call.user_id)
    if not 1 <= len(call.events) <= MAX_EVENTS:
        raise invalid("eventList", got=len(call.events), want=f"1 to {MAX_EVENTS} events")
    return tuple(
        _event(sent, session_id=cast("str", session_id), user_id=user_id, schema=schema, field=f"eventList[{index}]")
        for index, sent in enumerate(call.events)
    )


def _require(sent: RawCall | RawEvent, members: Sequence[Member], *, event: str = "") -> None:
    """Check that required members were sent."""
    for member in members:
        if getattr(sent, member.attribute) is None:
            raise invalid(member.path(event), got=None, want="a value: no event comes without it")


def _event(sent: RawEvent, *, session_id: str, user_id: str | None, schema: AvroSchema, field: str) -> Event:
    _require(sent, _OF_EVENT, event=field)
    properties, moved = _properties(sent.properties, field=f"{field}.properties")
    event = Event(
        event_id=check_text(f"{field}.eventId", sent.event_id) or "",
        session_id=session_id,
        user_id=user_id,
        event_type=cast("str", check_text(f"{field}.eventType", sent.event_type)),
        sent_at_millis=check_millis(f"{field}.sentAt", cast("int", sent.sent_at_millis)),
        event_value=_value(sent.event_value, moved.get("event_value"), field=field),
        item_id=_item(sent.item_id, moved.get("item_id"), field=field),
        properties_json=write_properties(properties),
        recommendation_id=check_text(
            f"{field}.recommendationId", sent.recommendation_id, longest=MAX_RECOMMENDATION_ID
        ),
        impression=check_impression(f"{field}.impression", sent.impression),
        attribution_source=_attribution_source(field, sent.attribution_source),
    )
    _check_size(event, field=field)
    check_columns(event, schema, properties=properties, field=field)
    return event if event.event_id else replace(event, event_id=event.content_id())


def _check_size(event: Event, *, field: str) -> None:
    is_plain = not event.impression and event.attribution_source is None
    if is_plain and len(event.properties_json or "") <= _PLAIN_PROPERTIES:
        return  # most events, which need not be written for it
    size = len(event.content().encode())
    if size > MAX_EVENT_BYTES:
        raise invalid(field, got=f"{size} bytes", want=f"at most {MAX_EVENT_BYTES} bytes per event")


def _properties(text: str | None, *, field: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the properties that are kept, and those that are values of members, by the member's attribute."""
    if text is None:
        return {}, {}
    kept, moved = {}, {}
    seen: set[str] = set()
    for key, value in parse_properties(text, field=field).items():
        if (normalised := normalise_key(key)) in seen:
            raise InvalidInput(f"`{field}`: got {key!r} in two spellings, want each property once")
        seen.add(normalised)
        member = member_of(normalised)
        if member is None or member.in_properties is InProperties.KEPT:
            kept[key] = value
        elif member.in_properties is InProperties.MOVED:
            moved[member.attribute] = value
        else:
            raise InvalidInput(f"`{field}`: got the key {key!r}, want keys other than the event's own members")
    return kept, moved


def _item(member: str | None, in_properties: Any, *, field: str) -> str | None:
    if member is not None or in_properties is None:
        return check_text(f"{field}.itemId", member)
    return check_text(f"{field}.properties.itemId", in_properties)


def _value(member: float | None, in_properties: Any, *, field: str) -> float | None:
    if member is None:
        value: float | None = None if in_properties is None else convert(in_properties, _NUMBER)
        if value is None and in_properties is not None:
            raise invalid(f"{field}.properties.eventValue", got=in_properties, want=describe_values(_NUMBER))
        return value
    if not math.isfinite(member):
        raise invalid(f"{field}.eventValue", got=member, want="a finite number")
    return member


def _attribution_source(field: str, source: str | None) -> str | None:
    name = f"{field}.metricAttribution.eventAttributionSource"
    if source is not None and not (_ATTRIBUTION_SOURCE.fullmatch(source) and source.strip()):
        raise invalid(name, got=source, want="1 to 1024 printable ASCII characters, not only spaces")
    return source
