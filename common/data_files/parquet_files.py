"""Parquet to rows of the schema, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from common.arrow_schema import polars_type
from common.avro import AvroField, AvroSchema
from common.data_files.files import BrokenFile
from common.data_files.values import CheckedRows, Column, check_columns, normalised

__all__ = ["ParquetRows", "read_parquet_rows"]

_BATCH_ROWS: Final = 500_000


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """Some rows of a Parquet file.

    Attributes:
        first: Number of the first, from 1.
        raw: The schema's columns, as they are in the file.
    """

    first: int
    raw: pl.DataFrame

    def check(self, schema: AvroSchema, *, dataset_type: str) -> CheckedRows:
        """Return the rows in the schema's types and all that is wrong with them; rows count as lines.

        Args:
            schema: The schema of the dataset.
            dataset_type: E.g. `INTERACTIONS`.
        """
        columns = [_column(field, self.raw[field.name]) for field in schema.fields]
        numbers = pl.arange(self.first, self.first + len(self.raw), eager=True, dtype=pl.Int64)
        return check_columns(columns, numbers, dataset_type=dataset_type)


def read_parquet_rows(path: Path, schema: AvroSchema, *, batch_rows: int = _BATCH_ROWS) -> Iterator[ParquetRows]:
    """Yield the rows of a file in batches.

    Args:
        path: The file.
        schema: The schema of the dataset.
        batch_rows: Rows of a batch at most.

    Raises:
        BrokenFile: It is damaged, lacks a column, or has one of a type that does not fit.
    """
    try:
        scanned = pl.scan_parquet(path, glob=False)
        _check_types(scanned.collect_schema(), schema)
        rows = scanned.select(field.name for field in schema.fields)
        total = int(scanned.select(pl.len()).collect().item())
        for start in range(0, total, batch_rows):
            yield ParquetRows(start + 1, rows.slice(start, batch_rows).collect())
    except PolarsError as error:
        first_line = str(error).split("\n", 1)[0]
        raise BrokenFile(f"got no valid Parquet file ({first_line}), want one that can be read") from error


def _check_types(types: Mapping[str, pl.DataType], schema: AvroSchema) -> None:
    for field in schema.fields:
        kind = types.get(field.name)
        if kind is not None and not _is_fitting(kind, field):
            raise BrokenFile(f"got a column {field.name} of the type {kind}, want {_WANTED_TYPES[field.type]}")


_WANTED_TYPES: Final = {
    "string": "text",
    "int": "integers",
    "long": "integers",
    "float": "numbers",
    "double": "numbers",
    "boolean": "booleans",
}


def _is_fitting(kind: pl.DataType, field: AvroField) -> bool:
    """Tell whether a column of a file has a type whose values can be those of a field."""
    if field.type == "string":
        return kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)
    if field.type == "boolean":
        return kind in (pl.Boolean, pl.Null)
    return kind.is_integer() or kind == pl.Null or (field.type in ("float", "double") and kind.is_numeric())


def _column(field: AvroField, raw: pl.Series) -> Column:
    """Cast a column; what is empty, or is no number, counts as nothing: it stands for that in many tables."""
    if raw.dtype.is_float():
        raw = raw.set(raw.is_nan(), None)
    values = raw.cast(polars_type(field), strict=False)
    if field.type in ("float", "double"):
        values = values.set(values.is_infinite().fill_null(False), None)
    if field.type == "string":
        raw = raw.cast(pl.String)
        raw = raw.set(raw == "", None)
    return Column(field, raw, normalised(values, field))
