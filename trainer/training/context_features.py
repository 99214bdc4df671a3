"""Metadata columns of interactions to the context that models learn from."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.avro import AvroField, AvroSchema
from recipes.components.context import CodedTexts, Context, ContextCodes
from recipes.data.training_data import TrainingData
from recipes.evaluation.splits import Split

__all__ = ["context_fields", "first_hidden", "read_context"]

_RESERVED = frozenset(
    {
        columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP, columns.EVENT_TYPE, columns.EVENT_VALUE,
        columns.IMPRESSION, columns.RECOMMENDATION_ID, columns.EVENT_ATTRIBUTION_SOURCE,
    }
)  # fmt: skip
_NUMERIC = frozenset({"int", "long", "float", "double"})


def context_fields(schema: AvroSchema) -> list[AvroField]:
    """Return the columns of an Interactions schema that are context: categorical and numeric ones."""
    return [
        field
        for field in schema.fields
        if field.name not in _RESERVED and (field.categorical or field.type in _NUMERIC)
    ]


def read_context(rows: pl.DataFrame, fields: list[AvroField], *, order: NDArray[np.int64]) -> Context | None:
    """Return the context of interactions, None where no column has any.

    Several categories in one value count as one category of their own.

    Args:
        rows: With the columns.
        fields: From `context_fields`.
        order: int64 [n], places of the rows in the order of the interactions.
    """
    if not fields:
        return None
    values = {
        field.name: _coded(rows[field.name])
        if field.categorical
        else rows[field.name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for field in fields
    }
    meaning = ContextCodes.of(values)
    return Context(meaning, meaning.encode(values)[order]) if len(meaning) > 1 else None


def _coded(values: pl.Series) -> CodedTexts:
    """Take the numbers of texts that are coded already, or code them."""
    texts = values.dtype.categories if isinstance(values.dtype, pl.Enum) else values.drop_nulls().unique().sort()
    codes = values.cast(pl.Enum(texts)).to_physical().cast(pl.Int32).fill_null(-1)
    return CodedTexts(texts.to_list(), codes.to_numpy())


def first_hidden(data: TrainingData, split: Split) -> NDArray[np.int32] | None:
    """Return the context of the first hidden interaction of each test user: int32 [m, columns]; None without any.

    A request is made in the context of what comes next, so that is what a model is measured with.
    """
    if data.context is None:
        return None
    ends = data.histories().offsets[split.users + 1]
    codes: NDArray[np.int32] = data.context.codes[ends - split.relevant.lengths()]
    return codes
