"""The rows of datasets' tables that records of the log become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from common import columns
from common.arrow_schema import INTERNAL_TYPES, frame_schema, interactions_frame_schema
from common.avro import AvroSchema
from events_service.domain import ActionInteraction, Entity, Event, interaction_values
from events_service.domain.entities import EntityType, entity_values
from events_service.log import LoggedRecord
from events_service.records import content_of

__all__ = ["entities_frame", "events_frame"]


def events_frame(records: Sequence[LoggedRecord], schema: AvroSchema) -> pl.DataFrame:
    """Return the rows of a table of interactions, with items or actions: one for each event id, in the log's order.

    Within a tracker the log holds every id once. Two consecutive trackers of a group may both have received an event;
    then the first is kept.

    Args:
        records: Events, or interactions with actions, of one table, in the order of offsets.
        schema: The dataset's.

    Raises:
        CorruptArtifact: An event does not fit the schema, which it did when it was accepted.
    """
    first: dict[str, tuple[int, Event | ActionInteraction]] = {}
    for record in records:
        event: Event | ActionInteraction = content_of(record)
        first.setdefault(event.event_id, (record.offset, event))
    rows = [_row(offset, event, schema) for offset, event in first.values()]
    return pl.DataFrame(rows, schema=interactions_frame_schema(schema))


def entities_frame(records: Sequence[LoggedRecord], schema: AvroSchema, kind: EntityType) -> pl.DataFrame:
    """Return the rows of a table of items, users or actions: the last one of each id.

    Args:
        records: Of one table, in the order of offsets.
        schema: The dataset's.
        kind: What the table holds.

    Raises:
        CorruptArtifact: A record does not fit the schema, which it did when it was accepted.
    """
    last: dict[str, tuple[int, Entity]] = {}
    for record in records:
        entity: Entity = content_of(record)
        last[entity.entity_id] = (record.offset, entity)
    rows = [
        {**entity_values(entity, schema, kind), columns.SOURCE: columns.SOURCE_PUT, columns.LOG_OFFSET: offset}
        for offset, entity in last.values()
    ]
    internal = {name: INTERNAL_TYPES[name] for name in (columns.SOURCE, columns.LOG_OFFSET)}
    return pl.DataFrame(rows, schema={**frame_schema(schema), **internal})


def _row(offset: int, event: Event | ActionInteraction, schema: AvroSchema) -> dict[str, Any]:
    return {
        **interaction_values(event, schema),
        columns.SOURCE: columns.SOURCE_PUT,
        columns.EVENT_ID: event.event_id,
        columns.LOG_OFFSET: offset,
        columns.SESSION_ID: event.session_id,
    }
