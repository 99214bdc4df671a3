"""Interactions of a snapshot, read in batches, with ids and event types as numbers: 17 bytes for a row of most imports.

The table is read twice: first for the ids that there are, then for the rows. As the categories of a coded column are
sorted, such columns compare, sort and join as the texts that they stand for, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from common import columns
from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.tables import Table

__all__ = ["by_users", "read_coded"]

#: Columns whose values come again and again, besides those that the schema calls categorical.
_CODED = (columns.USER_ID, columns.ITEM_ID, columns.EVENT_TYPE)
#: Internal columns that say something of streamed events alone: left out where no row has a value.
_OF_EVENTS = (columns.EVENT_ID, columns.LOG_OFFSET, columns.SESSION_ID)
#: Rows that are worked on at once.
_ROWS_AT_ONCE = 1 << 21


def read_coded(table: Table, schema: AvroSchema, *, version: int) -> pl.DataFrame:
    """Read the rows of a table of interactions.

    Args:
        table: To be read.
        schema: Of its dataset.
        version: Of the table.

    Returns:
        The columns of the schema, those of `_CODED` and categorical ones as `pl.Enum`, and those internal ones that
        have values.

    Raises:
        ResourceNotFound: The table has been deleted meanwhile.
        CorruptArtifact: A file of the table is damaged or missing.
        Unavailable: The store cannot be reached.
    """
    fields = frame_schema(schema)
    repeated = {*_CODED, *(field.name for field in schema.fields if field.categorical)} - {columns.IMPRESSION}
    categories, present = _survey(table.batches([*fields, *_OF_EVENTS], version=version), repeated)
    coded = [pl.col(name).cast(pl.Enum(values)) for name, values in categories.items()]
    names = [*fields, *(name for name in _OF_EVENTS if name in present)]
    batches = (batch.with_columns(coded) for batch in table.batches(names, version=version))
    # In chunks of some size: a scan yields very small ones, and none of a table whose rows have all been deleted.
    parts = list(_gathered(batches))
    return pl.concat(parts, rechunk=False) if parts else pl.DataFrame(schema=fields)


def by_users(rows: pl.DataFrame, *, rows_at_once: int = _ROWS_AT_ONCE) -> Iterator[pl.DataFrame]:
    """Yield rows in parts of about so many, all rows of a user in one part, each part in the order of the rows."""
    count = -(-len(rows) // rows_at_once)
    if count <= 1:
        yield rows
        return
    part_of = rows.select((pl.col(columns.USER_ID).hash(seed=2) % count).cast(pl.UInt32)).to_series()
    for number in range(count):
        yield rows.filter(part_of == number)


def _survey(batches: Iterator[pl.DataFrame], repeated: Collection[str]) -> tuple[dict[str, pl.Series], set[str]]:
    """Return the different values of repeated columns that there are, ascending, and the columns that have values."""
    values: dict[str, list[pl.Series]] = {}
    pending: dict[str, int] = {}
    present: set[str] = set()
    for batch in batches:
        present.update(name for name in batch.columns if batch[name].null_count() < len(batch))
        for name in repeated:
            if name not in batch.columns:
                continue
            parts = values.setdefault(name, [])
            parts.append(batch[name].drop_nulls().unique())
            pending[name] = pending.get(name, 0) + len(parts[-1])
            # Merged when as many have come as there were, so that all of it takes as long as a few merges.
            if pending[name] > max(_ROWS_AT_ONCE, len(parts[0])):
                values[name], pending[name] = [pl.concat(parts).unique()], 0
    return {name: pl.concat(parts).unique().sort() for name, parts in values.items()}, present


def _gathered(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Join batches to larger ones."""
    pending: list[pl.DataFrame] = []
    count = 0
    for batch in batches:
        pending.append(batch)
        count += len(batch)
        if count >= _ROWS_AT_ONCE:
            yield pl.concat(pending, rechunk=True)
            pending, count = [], 0
    if pending:
        yield pl.concat(pending, rechunk=True)
