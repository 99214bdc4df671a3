"""One commit for one import: what replaces what, and how a repeated attempt is recognised.

The commit carries the id of the import as an application transaction whose number is the number of rows, so that an
attempt after a success changes nothing and still knows what to answer.
"""

from __future__ import annotations

import polars as pl

from common import columns
from common.arrow_schema import INTERNAL_TYPES
from common.avro import AvroSchema
from common.tables import Table
from trainer.domain.limits import id_columns

__all__ = ["commit", "committed_rows", "without_duplicates"]

_EVENTS = frozenset({"INTERACTIONS", "ACTION_INTERACTIONS"})


def committed_rows(table: Table, import_id: str) -> int | None:
    """Return how many rows an import wrote, None when it did not commit yet."""
    return table.transaction(import_id)


def without_duplicates(rows: pl.DataFrame, schema: AvroSchema, *, dataset_type: str) -> pl.DataFrame:
    """Drop what says nothing new: identical interactions, and all but the last row of an item or a user."""
    if dataset_type in _EVENTS:
        return rows.unique([field.name for field in schema.fields], keep="first", maintain_order=True)
    return rows.unique(list(id_columns(dataset_type)), keep="last", maintain_order=True)


def commit(table: Table, rows: pl.DataFrame, *, dataset_type: str, replace: bool, import_id: str) -> None:
    """Write rows.

    A FULL import takes the place of all rows of earlier bulk imports and leaves streamed ones. An incremental one adds
    interactions, and replaces items and users of the same id.

    Args:
        table: Of the dataset.
        rows: The schema's columns, without duplicates.
        dataset_type: E.g. `INTERACTIONS`.
        replace: FULL, not incremental.
        import_id: Recorded in the commit.

    Raises:
        Unavailable: The store cannot be reached, or others committed in between again and again.
    """
    marked = _marked(rows, dataset_type)
    if replace:
        table.replace_bulk(marked, app_id=import_id, number=len(rows))
    elif dataset_type in _EVENTS:
        table.append(marked, app_id=import_id, number=len(rows))
    else:
        table.upsert(marked, keys=id_columns(dataset_type), app_id=import_id, number=len(rows))


def _marked(rows: pl.DataFrame, dataset_type: str) -> pl.DataFrame:
    """Add the internal columns; only events have all of them."""
    marked = rows.with_columns(pl.lit(columns.SOURCE_BULK, pl.String()).alias(columns.SOURCE))
    if dataset_type in _EVENTS:
        empty = {name: kind for name, kind in INTERNAL_TYPES.items() if name != columns.SOURCE}
        marked = marked.with_columns(pl.lit(None, kind).alias(name) for name, kind in empty.items())
    return marked
