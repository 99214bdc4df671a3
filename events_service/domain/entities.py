"""What PutItems, PutUsers and PutActions accept: Personalize's limits, and the schema of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from common import columns
from common.avro import AvroSchema
from common.columns import normalise_key
from common.errors import InvalidInput, invalid
from common.features.values import columns_by_key, convert_entity, describe_entity_values, is_text, read_entity
from events_service.domain.events import Entity
from events_service.domain.fields import check_millis
from events_service.domain.properties import parse_properties, write_properties

__all__ = [
    "ACTIONS",
    "ENTITY_TYPES",
    "ITEMS",
    "USERS",
    "EntityType",
    "RawEntity",
    "UnknownColumn",
    "check_entities",
]  # fmt: skip

MAX_ENTITIES: Final = 10
_MAX_ID: Final = 256


class UnknownColumn(InvalidInput):
    """A property that the schema has no column for; the dataset may have got a wider one a moment ago."""


@dataclass(frozen=True, slots=True)
class EntityType:
    """One of the kinds of things that are put whole.

    Attributes:
        dataset_type: The type of their datasets.
        list_field: The member of the call that lists them.
        id_field: The member of each that holds its id.
        id_column: The column of the id.
        max_properties: Characters of one's properties, as JSON text.
    """

    dataset_type: str
    list_field: str
    id_field: str
    id_column: str
    max_properties: int


ITEMS: Final = EntityType("ITEMS", "items", "itemId", columns.ITEM_ID, 32_000)
USERS: Final = EntityType("USERS", "users", "userId", columns.USER_ID, 24_000)
ACTIONS: Final = EntityType("ACTIONS", "actions", "actionId", columns.ACTION_ID, 32_000)
ENTITY_TYPES: Final[Mapping[str, EntityType]] = MappingProxyType(
    {item.dataset_type: item for item in (ITEMS, USERS, ACTIONS)}
)


@dataclass(frozen=True, slots=True)
class RawEntity:
    """One item, user or action of a call, unchecked; None where the sender left something out."""

    entity_id: str | None
    properties: str | None = None


def check_entities(sent: Sequence[RawEntity], schema: AvroSchema, kind: EntityType) -> tuple[Entity, ...]:
    """Return the items, users or actions of a call, validated.

    Args:
        sent: As sent.
        schema: That of the dataset that they go to.
        kind: What they are.

    Raises:
        InvalidInput: Anything at all is wrong with the call; then none of them is kept.
        UnknownColumn: The first that is wrong is a property without a column.
    """
    if not 1 <= len(sent) <= MAX_ENTITIES:
        raise invalid(kind.list_field, got=len(sent), want=f"1 to {MAX_ENTITIES} {kind.list_field}")
    return tuple(_entity(item, schema, kind, field=f"{kind.list_field}[{index}]") for index, item in enumerate(sent))


def _entity(sent: RawEntity, schema: AvroSchema, kind: EntityType, *, field: str) -> Entity:
    entity_id = sent.entity_id
    if entity_id is None or not 1 <= len(entity_id) <= _MAX_ID or not is_text(entity_id):
        raise invalid(f"{field}.{kind.id_field}", got=entity_id, want=f"a string of 1 to {_MAX_ID} characters")
    place = f"{field}.properties"
    properties = (
        {}
        if sent.properties is None
        else parse_properties(sent.properties, field=place, max_length=kind.max_properties)
    )
    places = columns_by_key(schema)
    seen: set[str] = set()
    for key in properties:
        normalised = normalise_key(key)
        if normalised not in places or places[normalised].name == kind.id_column:
            names = ", ".join(item.name for item in schema.fields if item.name != kind.id_column)[:500] or "none"
            raise UnknownColumn(f"`{place}`: got the key {key[:150]!r}, want a column of the dataset's schema: {names}")
        if normalised in seen:
            raise InvalidInput(f"`{place}`: got {key!r} in two spellings, want each property once")
        seen.add(normalised)
    for column, spelling, value in read_entity(entity_id, properties, schema, id_column=kind.id_column):
        if value is None:
            if not column.nullable:
                want = f"a value: the schema's {column.name} has no null"
                raise invalid(f"{place}.{spelling}", got=None, want=want)
            continue
        converted = convert_entity(value, column)
        if converted is None:
            want = f"{describe_entity_values(column)}, as the schema's {column.name}"
            raise invalid(f"{place}.{spelling}", got=value, want=want)
        if column.name in columns.MOMENTS and isinstance(converted, int | float):
            check_millis(f"{place}.{spelling}", int(1000 * converted))
    return Entity(entity_id, write_properties(properties))
