"""Metadata of items or users, column by column, in the order of their indexes.

What the schema declares categorical, numeric or textual may be learnt from; strings that are neither and booleans are
not here, as Personalize does not train on them either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_TIME", "CategoricalColumn", "Columns"]

#: Stands where a time is not known; no time is as early, while those before 1970 are below 0.
NO_TIME: Final = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """Any number of categories for each row.

    Attributes:
        categories: All different values, in ascending order.
        offsets: int64 [n + 1]; row r owns the codes `offsets[r]` to `offsets[r + 1] - 1`.
        codes: int32 [total], places in `categories`.
    """

    categories: tuple[str, ...]
    offsets: NDArray[np.int64]
    codes: NDArray[np.int32]

    @classmethod
    def of_values(cls, values: Sequence[Sequence[str]]) -> Self:
        """Make a column of the categories of each row."""
        lengths = np.array([len(row) for row in values], np.int64)
        flat = [value for row in values for value in row]
        names, codes = np.unique(np.array(flat, dtype=str), return_inverse=True)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return cls(tuple(names.tolist()), offsets, codes.astype(np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each code: int64 [total]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def moved(self, places: NDArray[np.integer[Any]], *, n_rows: int) -> CategoricalColumn:
        """Return a column of `n_rows` rows in which row r stands at `places[r]`, ascending; the others are empty."""
        lengths = np.zeros(n_rows + 1, np.int64)
        lengths[places + 1] = np.diff(self.offsets)
        return CategoricalColumn(self.categories, np.cumsum(lengths), self.codes)


@dataclass(frozen=True, slots=True)
class Columns:
    """All columns of n rows.

    Attributes:
        categorical: By name.
        numeric: By name, float64 [n]; NaN where there is no value.
        textual: By name, n texts; None where there is none.
        names: n names of the rows themselves, None where there is none; None without a column of names. Only recipes
            that ask for names learn from them.
        created: int64 [n], CREATION_TIMESTAMP in seconds since 1970, `NO_TIME` where there is none; None without the
            column.
    """

    categorical: Mapping[str, CategoricalColumn] = field(default_factory=dict)
    numeric: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    textual: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    names: tuple[str | None, ...] | None = None
    created: NDArray[np.int64] | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self.categorical or self.numeric or self.textual)

    def moved(self, places: NDArray[np.integer[Any]], *, n_rows: int) -> Columns:
        """Return categories and numbers of `n_rows` rows, row r at `places[r]`, ascending; the others are empty."""

        def numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
            spread = np.full(n_rows, np.nan)
            spread[places] = values
            return spread

        return Columns(
            categorical={name: column.moved(places, n_rows=n_rows) for name, column in self.categorical.items()},
            numeric={name: numbers(values) for name, values in self.numeric.items()},
        )
