"""Snapshots of features to columns: what a model may learn of items and users in addition to who used what.

The schema says what a column is. Booleans, and strings that are neither categorical nor textual, are left out, as
Personalize leaves them out of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns as reserved
from common.avro import AvroField
from common.features import CategoriesColumn, FeatureSnapshot, NumbersColumn, TextsColumn
from common.filters import NumberColumn, TextColumn
from recipes.data.columns import NO_TIME, CategoricalColumn, Columns
from recipes.data.texts import clean_text

__all__ = ["MetadataTable", "places"]

#: Share of rows that must have a text for a textual column to be used.
_COMPLETE = 0.85
_NUMERIC = frozenset({"int", "long", "float", "double"})
#: Row of an id that a snapshot does not have.
_NO_ROW = -1
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """Metadata of items or users by their ids.

    Attributes:
        snapshot: The features of the dataset.
        ids: Those of the snapshot, by row.
        fields: Those that may be learnt from.
        created: Whether CREATION_TIMESTAMP may be.
    """

    snapshot: FeatureSnapshot
    ids: pl.Series
    fields: tuple[AvroField, ...]
    created: bool

    @classmethod
    def of(cls, snapshot: FeatureSnapshot, *, learns_from: Callable[[str], bool]) -> MetadataTable:
        """Take what may be learnt from.

        Args:
            snapshot: The features of the dataset, whose schema says what each column is.
            learns_from: Whether the solution lets a column be learnt from.
        """
        learnt = [
            field for field in snapshot.schema.fields if field.name in snapshot.columns and learns_from(field.name)
        ]
        created = any(field.name == reserved.CREATION_TIMESTAMP for field in learnt)
        fields = tuple(field for field in learnt if field.name != reserved.CREATION_TIMESTAMP)
        ids = pl.Series("id", snapshot.ids.ids(range(snapshot.n_rows)), dtype=pl.String)
        return cls(snapshot, ids, fields, created)

    def columns(self, ids: pl.Series) -> Columns:
        """Return the columns of some ids, in their order; ids that the snapshot does not have are empty rows."""
        rows = self.rows(ids)
        names = [self._texts(field.name, rows) for field in self.fields if field.item_name]
        return Columns(
            categorical={
                field.name: _chosen(self._categories(field.name), rows) for field in self.fields if field.categorical
            },
            numeric={field.name: self.numbers(field.name, rows) for field in self.fields if field.type in _NUMERIC},
            textual={
                field.name: self._texts(field.name, rows)
                for field in self.fields
                if field.textual and self._complete(field.name)
            },
            names=names[0] if names else None,
            created=self._times(rows) if self.created else None,
        )

    def rows(self, ids: pl.Series) -> Rows:
        """Return the row of each id, -1 for those that the snapshot does not have."""
        return places(ids, self.ids).fill_null(_NO_ROW).to_numpy()

    def described(self) -> pl.Series:
        """Return the ids that have a value in a column that may be learnt from."""
        said = np.zeros(self.snapshot.n_rows, np.bool_)
        for field in self.fields:
            if field.categorical:
                said |= np.diff(self._categories(field.name).offsets) > 0
            elif field.type in _NUMERIC:
                said |= ~self._numbers(field.name).is_null
        return self.ids.filter(pl.Series(said))

    def numbers(self, name: str, rows: Rows) -> NDArray[np.float64]:
        """Return the numbers of rows in a numeric column: float64 [number of rows], NaN where there is none."""
        column, has_row = self._numbers(name), rows != _NO_ROW
        values = np.full(len(rows), np.nan)
        values[has_row] = column.values[rows[has_row]]
        values[has_row] = np.where(column.is_null[rows[has_row]], np.nan, values[has_row])
        return values

    def _complete(self, name: str) -> bool:
        column = self.snapshot.columns[name]
        assert isinstance(column, TextsColumn), "so textual columns are stored"
        n_texts = len(column) - int(column.is_null.sum())
        return len(column) > 0 and n_texts >= _COMPLETE * len(column)

    def _categories(self, name: str) -> TextColumn:
        column = self.snapshot.columns[name]
        assert isinstance(column, CategoriesColumn), "so categorical columns are stored"
        return column.values

    def _numbers(self, name: str) -> NumberColumn:
        column = self.snapshot.columns[name]
        assert isinstance(column, NumbersColumn), "so numbers are stored"
        return column.values

    def _times(self, rows: Rows) -> NDArray[np.int64]:
        column, has_row = self._numbers(reserved.CREATION_TIMESTAMP), rows != _NO_ROW
        times = np.full(len(rows), NO_TIME, np.int64)
        present = rows[has_row]
        times[has_row] = np.where(column.is_null[present], NO_TIME, column.values[present].astype(np.int64))
        return times

    def _texts(self, name: str, rows: Rows) -> tuple[str | None, ...]:
        column = self.snapshot.columns[name]
        texts = (None if row == _NO_ROW else column.text(row) for row in rows.tolist())
        return tuple(None if text is None else clean_text(text) or None for text in texts)


def places(values: pl.Series, ids: pl.Series) -> pl.Series:
    """Return the place of each value among the ids, null for those that are not there."""
    if isinstance(values.dtype, pl.Enum):  # each of them is looked up once
        return places(values.dtype.categories, ids).gather(values.to_physical())
    numbered = pl.DataFrame({"id": ids, "place": pl.arange(len(ids), eager=True, dtype=pl.Int64)})
    return pl.DataFrame({"id": values}).join(numbered, on="id", how="left", maintain_order="left")["place"]


def _chosen(column: TextColumn, rows: Rows) -> CategoricalColumn:
    """Return the categories of rows, and of all categories only those that some row has."""
    has_row = rows != _NO_ROW
    begins = np.zeros(len(rows), np.int64)
    lengths = np.zeros(len(rows), np.int64)
    begins[has_row] = column.offsets[rows[has_row]]
    lengths[has_row] = column.offsets[rows[has_row] + 1] - begins[has_row]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    taken = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
    # Both the texts of the column and those that are left of them ascend.
    used, codes = np.unique(column.codes[taken], return_inverse=True)
    return CategoricalColumn(tuple(column.values.ids(used)), offsets, codes.astype(np.int32))
