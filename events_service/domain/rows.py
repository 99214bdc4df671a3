"""The row of the interactions table that an event becomes.

The same function checks an event when it arrives and writes it when it is sealed, so that whatever was acknowledged
can be sealed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from common import columns
from common.avro import AvroField, AvroSchema
from common.errors import invalid
from events_service.domain.events import Event
from events_service.domain.properties import MAX_VALUE, convert, plain_name

__all__ = ["interaction_values"]

#: Columns with a member of their own in the API, and that member.
_MEMBERS: Final = {
    columns.USER_ID: "userId",
    columns.ITEM_ID: "itemId",
    columns.TIMESTAMP: "sentAt",
    columns.EVENT_TYPE: "eventType",
    columns.EVENT_VALUE: "eventValue",
    columns.IMPRESSION: "impression",
    columns.RECOMMENDATION_ID: "recommendationId",
    columns.EVENT_ATTRIBUTION_SOURCE: "metricAttribution.eventAttributionSource",
}
#: Events come without these, whatever the schema says: before log-in, and about no item in particular.
_OPTIONAL: Final = frozenset({columns.USER_ID, columns.ITEM_ID})


def interaction_values(event: Event, schema: AvroSchema, *, field: str = "event") -> dict[str, Any]:
    """Return the schema's columns of the row.

    Properties that the schema has no column for are left out: they stay in the log.

    Args:
        event: A checked event.
        schema: Of the Interactions dataset.
        field: Name of the event, for errors.

    Raises:
        InvalidInput: A value is of another type than the schema's, or one that the schema requires is missing.
    """
    # Not checked again: the canonical text may be longer than the one that was sent.
    properties: dict[str, Any] = json.loads(event.properties_json) if event.properties_json else {}
    names = {plain_name(key): key for key in properties}
    members = _member_values(event)
    row: dict[str, Any] = {}
    for column in schema.fields:
        if column.name in members:
            name = f"{field}.{_MEMBERS[column.name]}"
            value = members[column.name]
        else:
            # An exact spelling wins over one that merely reads alike.
            key = column.name if column.name in properties else names.get(plain_name(column.name))
            name = f"{field}.properties.{key or _camel_case(column.name)}"
            value = properties.get(key, column.default) if key is not None else column.default
        row[column.name] = _checked(value, column, name=name)
    return row


def _member_values(event: Event) -> Mapping[str, Any]:
    return {
        columns.USER_ID: event.user_id,
        columns.ITEM_ID: event.item_id,
        columns.TIMESTAMP: event.sent_at_millis // 1000,
        columns.EVENT_TYPE: event.event_type,
        columns.EVENT_VALUE: event.event_value,
        columns.IMPRESSION: "|".join(event.impression) or None,
        columns.RECOMMENDATION_ID: event.recommendation_id,
        columns.EVENT_ATTRIBUTION_SOURCE: event.attribution_source,
    }


def _checked(value: Any, column: AvroField, *, name: str) -> Any:
    if column.name == columns.IMPRESSION and value is not None and len(value) > MAX_VALUE:
        raise invalid(name, got=value, want=f"ids of at most {MAX_VALUE} characters together, one more for each `|`")
    value = convert(value, column, field=name)
    if value is None and not column.nullable and column.name not in _OPTIONAL:
        raise invalid(name, got=None, want=f"a value: the schema's {column.name} has no null")
    return value


def _camel_case(name: str) -> str:
    first, *others = name.lower().split("_")
    return first + "".join(part.capitalize() for part in others)
