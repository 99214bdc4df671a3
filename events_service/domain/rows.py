"""The columns of a schema that an event, or an interaction with an action, fills.

On arrival `check_columns` rejects, by name, what does not fit the schema; the dataset sink writes what was accepted.
Both read an event's columns in one way (`_read`), so that whatever was acknowledged can be written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from common import columns
from common.avro import AvroField, AvroSchema
from common.columns import normalise_key
from common.errors import CorruptArtifact, invalid
from common.features.values import MAX_VALUE, convert, describe_values
from events_service.domain.events import ActionInteraction, Event
from events_service.domain.members import Member, action_member_of, member_of

__all__ = ["check_columns", "interaction_values"]


def check_columns(event: Event | ActionInteraction, schema: AvroSchema, *, field: str = "event") -> None:
    """Check that an event fits the schema.

    Columns of members may always be empty (`members` says which members are required); all others must have a
    property where the schema has no null and no default. Properties without a column are allowed: they stay in the log.

    Args:
        event: Its members are validated already.
        schema: That of the dataset.
        field: Name of the event, for errors.

    Raises:
        InvalidInput: A value is of another type than the schema's, or one that the schema requires is missing.
    """
    find_member = _find_member(event)
    for column, key, value in _read(event, schema):
        member = find_member(column.name)
        name = member.path(field) if member else f"{field}.properties.{key or _camel_case(column.name)}"
        if column.name == columns.IMPRESSION and value is not None and len(value) > MAX_VALUE:
            want = f"ids of at most {MAX_VALUE} characters together, one more for each `|`"
            raise invalid(name, got=value, want=want)
        if value is not None and convert(value, column) is None:
            raise invalid(name, got=value, want=f"{describe_values(column)}, as the schema's {column.name}")
        if value is None and member is None and not column.nullable:
            raise invalid(name, got=None, want=f"a value: the schema's {column.name} has no null")


def interaction_values(event: Event | ActionInteraction, schema: AvroSchema) -> dict[str, Any]:
    """Return the schema's columns of the row that an accepted event becomes.

    Args:
        event: From the log.
        schema: The one that the event was accepted by.

    Raises:
        CorruptArtifact: The event was not accepted by this schema. The message names the column, never the value.
    """
    row = {}
    for column, _, value in _read(event, schema):
        row[column.name] = None if value is None else convert(value, column)
        if value is not None and row[column.name] is None:
            raise CorruptArtifact(f"event log: got a value of {column.name} that is not {describe_values(column)}")
    return row


def _read(event: Event | ActionInteraction, schema: AvroSchema) -> Iterator[tuple[AvroField, str | None, Any]]:
    """Return, for each column, the property that it was taken from (None for members and defaults) and its value."""
    # Not validated again: the canonical text may be longer than the one that was sent.
    properties: dict[str, Any] = json.loads(event.properties_json) if event.properties_json else {}
    names = {normalise_key(key): key for key in properties}
    find_member = _find_member(event)
    for column in schema.fields:
        if (member := find_member(column.name)) is not None:
            yield column, None, member.value(event)
            continue
        # An exact spelling wins over one that merely has the same normalised key.
        key = column.name if column.name in properties else names.get(normalise_key(column.name))
        yield column, key, column.default if key is None else properties[key]


def _find_member(event: Event | ActionInteraction) -> Callable[[str], Member | None]:
    return member_of if isinstance(event, Event) else action_member_of


def _camel_case(name: str) -> str:
    first, *others = name.lower().split("_")
    return first + "".join(part.capitalize() for part in others)
