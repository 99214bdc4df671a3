"""A table of interactions in a store, as an import writes it, for commands that train without a control plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import polars as pl

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from trainer.training.spec import TableVersion

__all__ = ["InteractionsTable"]

_LOCATION: Final = "datasets/interactions"
_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Interactions",
        "fields": [
            {"name": columns.USER_ID, "type": "string"},
            {"name": columns.ITEM_ID, "type": "string"},
            {"name": columns.TIMESTAMP, "type": "long"},
            {"name": columns.EVENT_TYPE, "type": ["null", "string"]},
        ],
    }
)


class InteractionsTable:
    """The one table of a store.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        #: By which a training opens the store.
        self.settings = StoreSettings(store_url=str(folder))
        self._table = Table(open_store(self.settings), _LOCATION)

    def append(self, rows: pl.DataFrame) -> None:
        """Add rows by one commit.

        Args:
            rows: Users, items, timestamps and event types by the names of their columns.
        """
        schema = interactions_frame_schema(AvroSchema.parse(_SCHEMA))
        rows = rows.with_columns(pl.lit(columns.SOURCE_BULK).alias(columns.SOURCE))
        missing = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in rows.columns]
        self._table.append(rows.with_columns(missing).select(list(schema)))

    def version(self) -> TableVersion:
        """Return what a training knows of the table as it is now."""
        return TableVersion(
            dataset_type="INTERACTIONS", location=_LOCATION, avro_schema=_SCHEMA, version=self._table.version()
        )
