"""Tables of items and users to columns: what a model may learn of them in addition to who used what.

The schema says what a column is. Booleans, and strings that are neither categorical nor textual, are left out, as
Personalize leaves them out of training.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns as reserved
from common.avro import AvroField, AvroSchema
from common.newest import newest
from recipes.data.columns import NO_TIME, CategoricalColumn, Columns

__all__ = ["MetadataTable", "clean_text", "places"]

#: Share of rows that must have a text for a textual column to be used.
_COMPLETE = 0.85
_NUMERIC = frozenset({"int", "long", "float", "double"})
#: A tag begins with a letter, `/` or `!`: "a < b" is text.
_TAG = re.compile(r"<[a-zA-Z/!][^<>]*>")


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """Metadata of items or users by their ids.

    Attributes:
        key: Name of the column of ids.
        rows: One row for each id.
        fields: Those that may be learnt from.
        created: Whether CREATION_TIMESTAMP may be.
    """

    key: str
    rows: pl.DataFrame
    fields: tuple[AvroField, ...]
    created: bool

    @classmethod
    def of(cls, rows: pl.DataFrame, schema: AvroSchema, *, learns_from: Callable[[str], bool]) -> MetadataTable:
        """Take what may be learnt from.

        Args:
            rows: Of the table, internal columns included; of each id the newest version holds.
            schema: The schema of the dataset, which says what each column is.
            learns_from: Whether the solution lets a column be learnt from.
        """
        key = reserved.ITEM_ID if schema.field(reserved.ITEM_ID) is not None else reserved.USER_ID
        learnt = tuple(field for field in schema.fields if field.name != key and learns_from(field.name))
        created = any(field.name == reserved.CREATION_TIMESTAMP for field in learnt)
        fields = tuple(field for field in learnt if field.name != reserved.CREATION_TIMESTAMP)
        return cls(key, newest(rows, [key]), fields, created)

    def columns(self, ids: pl.Series) -> Columns:
        """Return the columns of some ids, in their order; ids that the table does not have are empty rows."""
        rows = pl.DataFrame({self.key: ids}).join(self.rows, on=self.key, how="left", maintain_order="left")
        texts = {
            field.name: _texts(rows[field.name])
            for field in self.fields
            if field.textual and self._complete(field.name)
        }
        names = [_texts(rows[field.name]) for field in self.fields if field.item_name]
        seconds = (
            rows[reserved.CREATION_TIMESTAMP].cast(pl.Int64).fill_null(NO_TIME).to_numpy() if self.created else None
        )
        return Columns(
            categorical={field.name: _categories(rows[field.name]) for field in self.fields if field.categorical},
            numeric={field.name: _numbers(rows[field.name]) for field in self.fields if field.type in _NUMERIC},
            textual=texts,
            names=names[0] if names else None,
            created=seconds,
        )

    def described(self) -> pl.Series:
        """Return the ids that have a value in a column that may be learnt from."""
        learnt = [field.name for field in self.fields if field.categorical or field.type in _NUMERIC]
        said = pl.any_horizontal(pl.lit(value=False), *(pl.col(name).is_not_null() for name in learnt))
        return self.rows.filter(said)[self.key]

    def _complete(self, name: str) -> bool:
        values = self.rows[name]
        return len(values) > 0 and len(values) - values.null_count() >= _COMPLETE * len(values)


def clean_text(text: str) -> str:
    """Strip tags and entities of HTML and fold blanks."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def places(values: pl.Series, ids: pl.Series) -> pl.Series:
    """Return the place of each value among the ids, null for those that are not there."""
    numbered = pl.DataFrame({"id": ids, "place": pl.arange(len(ids), eager=True, dtype=pl.Int64)})
    return pl.DataFrame({"id": values}).join(numbered, on="id", how="left", maintain_order="left")["place"]


def _categories(values: pl.Series) -> CategoricalColumn:
    """Split at `|`; blanks around a category, empty ones and repetitions within a row are dropped."""
    parts = pl.DataFrame({"row": pl.arange(len(values), eager=True), "category": values.str.split("|")})
    flat = (
        parts.explode("category")
        .with_columns(pl.col("category").str.strip_chars())
        .filter(pl.col("category").is_not_null() & (pl.col("category") != ""))
        .unique(maintain_order=True)
    )
    categories = flat["category"].unique().sort()
    lengths = np.bincount(flat["row"].to_numpy(), minlength=len(values))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    codes = places(flat["category"], categories).to_numpy().astype(np.int32)
    return CategoricalColumn(tuple(categories.to_list()), offsets.astype(np.int64), codes)


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _texts(values: pl.Series) -> tuple[str | None, ...]:
    return tuple(None if text is None else clean_text(text) or None for text in values.to_list())
