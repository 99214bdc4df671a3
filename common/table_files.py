"""Parquet files that are written first and become part of a table later, many in one commit; see `common.tables`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from common import columns

__all__ = ["TableFile", "write_table_file"]


@dataclass(frozen=True, slots=True)
class TableFile:
    """A local Parquet file with rows of a table.

    Attributes:
        path: Where it is.
        rows: How many rows it has.
        schema: Its columns.
        statistics: What Delta Lake keeps of a file to pass over it without opening it, as JSON.
    """

    path: Path
    rows: int
    schema: pl.Schema
    statistics: str


def write_table_file(rows: pl.DataFrame, path: Path) -> TableFile:
    """Write rows as a file of a table.

    Args:
        rows: At least one.
        path: The file, not there yet.
    """
    rows.write_parquet(path, compression="snappy", statistics=True)
    return TableFile(path, len(rows), rows.schema, json.dumps(_statistics(rows)))


def _statistics(rows: pl.DataFrame) -> dict[str, Any]:
    """Return the counts of nulls, and the least and greatest whole numbers and sources: readers look for no others."""
    nulls = rows.null_count().row(0, named=True)
    bounded = [
        name
        for name, kind in rows.schema.items()
        if (kind.is_integer() or name == columns.SOURCE) and nulls[name] < len(rows)
    ]
    least, greatest = rows.select(pl.col(bounded).min()), rows.select(pl.col(bounded).max())
    return {
        "numRecords": len(rows),
        "nullCount": nulls,
        "minValues": least.row(0, named=True) if bounded else {},
        "maxValues": greatest.row(0, named=True) if bounded else {},
    }
