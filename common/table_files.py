"""The files of tables: those of a version, and those that are written first and added later; see `common.tables`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from common import columns

__all__ = ["StagedFile", "StoredFile", "TableFile", "TableSnapshot", "join_table_files", "write_table_file"]


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
    return TableFile(path, len(rows), rows.schema, json.dumps(_statistics(rows.lazy(), rows.schema)))


def join_table_files(paths: Sequence[Path], path: Path, *, schema: pl.Schema) -> TableFile:
    """Write the rows of several files as one file, in memory that does not depend on how many they are.

    Args:
        paths: Files of one table.
        path: The file to write, not there yet.
        schema: The table's columns; those that a file lacks are null in its rows.

    Raises:
        PolarsError: A file is damaged.
        OSError: A file is gone, or the new one cannot be written.
    """
    rows = pl.scan_parquet(list(paths), glob=False, schema=schema, missing_columns="insert")
    rows.sink_parquet(path, compression="snappy", statistics=True)
    statistics = _statistics(pl.scan_parquet(path, glob=False), schema)
    return TableFile(path, statistics["numRecords"], schema, json.dumps(statistics))


def _statistics(rows: pl.LazyFrame, schema: pl.Schema) -> dict[str, Any]:
    """Return the counts of nulls, and the least and greatest whole numbers and sources: readers look for no others."""
    bounded = [name for name, kind in schema.items() if kind.is_integer() or name == columns.SOURCE]
    aggregates = rows.select(
        pl.len().alias("rows"),
        pl.all().null_count().name.prefix("nulls."),
        pl.col(bounded).min().name.prefix("least."),
        pl.col(bounded).max().name.prefix("greatest."),
    ).collect(engine="streaming")
    values = aggregates.row(0, named=True)
    present = [name for name in bounded if values[f"nulls.{name}"] < values["rows"]]
    return {
        "numRecords": values["rows"],
        "nullCount": {name: values[f"nulls.{name}"] for name in schema},
        "minValues": {name: values[f"least.{name}"] for name in present},
        "maxValues": {name: values[f"greatest.{name}"] for name in present},
    }
