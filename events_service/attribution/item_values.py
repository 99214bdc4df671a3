"""Numbers of items, read from the table of a group's Items dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from common import columns
from common.avro import AvroSchema
from common.newest import newest
from common.storage import Store
from common.tables import Table
from events_service.log import LogTable

__all__ = ["read_item_values"]


def read_item_values(
    store: Store, items: LogTable | None, *, names: Collection[str], item_ids: Collection[str]
) -> Mapping[str, Mapping[str, float]]:
    """Return columns of some items by id and by name in upper case, as the table has them now.

    The table is read in batches, of which only the rows of these items are kept in memory.

    Args:
        store: Holds the table.
        items: The table; None for none.
        names: Of the columns, in upper case.
        item_ids: The items.

    Raises:
        Unavailable: The store cannot be reached.
        CorruptArtifact: A file of the table is damaged.
    """
    if items is None or not names or not item_ids:
        return {}
    table = Table(store, items.location)
    if not table.exists():
        return {}
    schema = AvroSchema.parse(items.schema)
    column_keys = {item.name: item.name.upper() for item in schema.fields if item.name.upper() in names}
    ids = pl.Series(columns.ITEM_ID, sorted(item_ids), dtype=pl.String)
    batches = [
        batch.filter(pl.col(columns.ITEM_ID).is_in(ids.implode()))
        for batch in table.batches(
            [columns.ITEM_ID, columns.SOURCE, columns.LOG_OFFSET, *column_keys], version=table.version()
        )
    ]
    if not batches:
        return {}
    rows = newest(pl.concat(batches, how="diagonal"), [columns.ITEM_ID])
    present = {name: key for name, key in column_keys.items() if name in rows.columns}
    return {
        row[columns.ITEM_ID]: {key: row[name] for name, key in present.items() if row[name] is not None}
        for row in rows.iter_rows(named=True)
    }
