"""Logged events as rows of an interactions table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from events_service.domain import interaction_values
from events_service.log import LoggedEvent

__all__ = ["events_frame"]


def events_frame(events: Sequence[LoggedEvent], schema: AvroSchema) -> pl.DataFrame:
    """Return one row for each event id, in the order of the log.

    Within a tracker the log holds every id once. Two trackers that followed one another in a group may have taken the
    same event; of those the first is kept.

    Args:
        events: Of one table, in the order of offsets.
        schema: Of the Interactions dataset.

    Raises:
        InvalidInput: An event does not fit the schema, which it did when it was taken.
    """
    first: dict[str, LoggedEvent] = {}
    for logged in events:
        first.setdefault(logged.event.event_id, logged)
    rows = [_row(logged, schema) for logged in first.values()]
    return pl.DataFrame(rows, schema=interactions_frame_schema(schema))


def _row(logged: LoggedEvent, schema: AvroSchema) -> dict[str, Any]:
    return {
        **interaction_values(logged.event, schema),
        columns.SOURCE: columns.SOURCE_PUT,
        columns.EVENT_ID: logged.event.event_id,
        columns.LOG_OFFSET: logged.offset,
        columns.SESSION_ID: logged.event.session_id,
    }
