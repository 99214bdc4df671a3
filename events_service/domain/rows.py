"""The columns of a schema that an event, or an interaction with an action, fills.

On arrival `check_columns` rejects, by name, what does not fit the schema; the dataset sink writes what was accepted.
Both read an event's columns in one way (`_read`), so that whatever was acknowledged can be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from common import columns
from common.avro import AvroField, AvroSchema
from common.columns import normalise_key
from common.errors import CorruptArtifact, invalid
from common.features.values import MAX_VALUE, convert, describe_values
from events_service.domain.events import ActionInteraction, Event
from events_service.domain.members import Member, action_member_of, member_of
from events_service.domain.properties import read_properties

__all__ = ["check_columns", "interaction_values"]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a schema with what is looked up once for all events.

    Attributes:
        field: The column.
        key: Normalised key of its name.
        member: What fills it; None where a property does.
    """

    field: AvroField
    key: str
    member: Member | None


def check_columns(
    event: Event | ActionInteraction, schema: AvroSchema, *, properties: Mapping[str, Any], field: str = "event"
) -> None:
    """Check that an event fits the schema.

    Columns of members may always be empty (`members` says which members are required); all others must have a
    property where the schema has no null and no default. Properties without a column are allowed: they stay in the log.

    Args:
        event: Its members are validated already.
        schema: That of the dataset.
        properties: Those of the event.
        field: Name of the event, for errors.

    Raises:
        InvalidInput: A value is of another type than the schema's, or one that the schema requires is missing.
    """
    for column, key, value in _read(event, _checked_columns(schema, isinstance(event, Event)), properties):
        member, avro_field = column.member, column.field
        if value is None:
            if member is None and not avro_field.nullable:
                name = _path(column, key, field)
                raise invalid(name, got=None, want=f"a value: the schema's {avro_field.name} has no null")
            continue
        if avro_field.name == columns.IMPRESSION and len(value) > MAX_VALUE:
            want = f"ids of at most {MAX_VALUE} characters together, one more for each `|`"
            raise invalid(_path(column, key, field), got=value, want=want)
        if convert(value, avro_field) is None:
            want = f"{describe_values(avro_field)}, as the schema's {avro_field.name}"
            raise invalid(_path(column, key, field), got=value, want=want)


def interaction_values(event: Event | ActionInteraction, schema: AvroSchema) -> dict[str, Any]:
    """Return the schema's columns of the row that an accepted event becomes.

    Args:
        event: From the log.
        schema: The one that the event was accepted by.

    Raises:
        CorruptArtifact: The event was not accepted by this schema. The message names the column, never the value.
    """
    row = {}
    properties = read_properties(event.properties_json)
    for column, _, value in _read(event, _columns(schema, isinstance(event, Event)), properties):
        avro_field = column.field
        row[avro_field.name] = converted = None if value is None else convert(value, avro_field)
        if value is not None and converted is None:
            raise CorruptArtifact(
                f"event log: got a value of {avro_field.name} that is not {describe_values(avro_field)}"
            )
    return row


def _read(
    event: Event | ActionInteraction, of_schema: Sequence[_Column], properties: Mapping[str, Any]
) -> Iterator[tuple[_Column, str | None, Any]]:
    """Yield, for each column, the property that it was taken from (None for members and defaults) and its value."""
    names = {normalise_key(key): key for key in properties}
    for column in of_schema:
        if column.member is not None:
            yield column, None, column.member.value(event)
            continue
        # An exact spelling wins over one that merely has the same normalised key.
        name = column.field.name
        key = name if name in properties else names.get(column.key)
        yield column, key, column.field.default if key is None else properties[key]


@lru_cache(maxsize=1024)
def _columns(schema: AvroSchema, are_events: bool) -> tuple[_Column, ...]:
    find = member_of if are_events else action_member_of
    return tuple(_Column(item, key, find(key)) for item in schema.fields for key in [normalise_key(item.name)])


@lru_cache(maxsize=1024)
def _checked_columns(schema: AvroSchema, are_events: bool) -> tuple[_Column, ...]:
    """Return the columns that a validated event may not fit."""
    return tuple(
        column
        for column in _columns(schema, are_events)
        if column.member is None or not column.member.short or column.field.type != "string"
    )


def _path(column: _Column, key: str | None, field: str) -> str:
    """Return the name of what was sent for a column, for errors."""
    if column.member is not None:
        return column.member.path(field)
    return f"{field}.properties.{key or _camel_case(column.field.name)}"


def _camel_case(name: str) -> str:
    first, *others = name.lower().split("_")
    return first + "".join(part.capitalize() for part in others)
