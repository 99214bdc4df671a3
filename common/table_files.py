"""The files of tables: those of a version, and those that are written first and added later; see `common.tables`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from common import columns

__all__ = ["StagedFile", "StoredFile", "TableFile", "TableSnapshot", "write_table_file"]


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


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file in the table's folder that no version has yet.

    Attributes:
        name: Relative to the table's location.
        bytes: Its size.
        local: What it was copied from.
    """

    name: str
    bytes: int
    local: TableFile


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version of a table.

    Attributes:
        name: Relative to the table's location.
        sources: The values of `columns.SOURCE` that its rows have; None when only the file itself says.
    """

    name: str
    sources: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """The files of a version of a table.

    Attributes:
        version: Number of the version; -1 before the first commit.
        files: By name.
    """

    version: int
    files: tuple[StoredFile, ...]


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
