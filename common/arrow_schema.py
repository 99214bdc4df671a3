"""Maps an Avro schema to the column types of a table, for imports and for streamed events alike.

Both write to the same Delta table, whose columns must not change their type between commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

from common import columns
from common.avro import AvroField, AvroSchema

__all__ = ["INTERNAL_TYPES", "frame_schema", "interactions_frame_schema", "polars_type"]

_TYPES: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        "string": pl.String(),
        "int": pl.Int32(),
        "long": pl.Int64(),
        "float": pl.Float32(),
        "double": pl.Float64(),
        "boolean": pl.Boolean(),
    }
)

#: Types of the internal columns of Interactions.
INTERNAL_TYPES: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        columns.SOURCE: pl.String(),
        columns.EVENT_ID: pl.String(),
        columns.LOG_OFFSET: pl.Int64(),
        columns.SESSION_ID: pl.String(),
    }
)


def polars_type(field: AvroField) -> pl.DataType:
    """Return the type of a field's column; nullability is not part of it."""
    return _TYPES[field.type]


def frame_schema(schema: AvroSchema) -> dict[str, pl.DataType]:
    """Return the columns of a dataset's table, in the schema's order."""
    return {field.name: polars_type(field) for field in schema.fields}


def interactions_frame_schema(schema: AvroSchema) -> dict[str, pl.DataType]:
    """Return the columns of an Interactions table: the schema's, then the internal ones."""
    return {**frame_schema(schema), **INTERNAL_TYPES}
