"""The columns that filters are evaluated over, each indexed so that the rows of a value or of a range are at hand.

Rows are numbered 0 to n - 1, items, actions or users; sets of rows are roaring bitmaps. A column of text is an inverted
index; a column of numbers keeps its rows in the order of their values, with a bitmap for every block of them, so that a
range is found by bisection and is a union of some blocks and the two ends.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import FrozenBitMap

from common.filters.expression import Operator, Scalar
from common.vocabulary import Vocabulary

__all__ = ["Column", "NumberColumn", "Rows", "Table", "TextColumn", "rows_of"]

#: A set of rows.
Rows = FrozenBitMap

#: Bitmaps of values with fewer rows are cheaper made than kept.
_MIN_KEPT_ROWS: Final = 1024
#: Rows of a block of a column of numbers.
_BLOCK: Final = 1 << 14


def rows_of(rows: NDArray[np.integer[Any]]) -> Rows:
    """Return a set of rows.

    Args:
        rows: Integers [k], from 0, in any order; ascending is several times as fast.
    """
    # The library reads an `array` at once and everything else one object after the other.
    numbers = array("I")
    numbers.frombytes(np.ascontiguousarray(rows, np.uint32).tobytes())
    return FrozenBitMap(numbers)


class TextColumn:
    """Any number of texts for each row: none is null, several are what `|` joins in a categorical column.

    Args:
        values: All different texts.
        offsets: int64 [n + 1]; row r owns the codes `offsets[r]` to `offsets[r + 1] - 1`.
        codes: int32 [total], places in `values`.
    """

    def __init__(self, values: Vocabulary, *, offsets: NDArray[np.int64], codes: NDArray[np.int32]) -> None:
        self._values = values
        self._offsets = offsets
        self._codes = codes
        counts = np.bincount(codes, minlength=len(values))
        self._ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint32), np.diff(offsets))
        # Stable, so that the rows of each value ascend.
        self._rows = rows[np.argsort(codes, kind="stable")]
        self._kept: dict[int, Rows] = {}

    @classmethod
    def of_values(cls, rows: Sequence[Sequence[str]]) -> TextColumn:
        """Make a column of the texts of each row."""
        flat = [value for row in rows for value in row]
        codes_of = {value: code for code, value in enumerate(dict.fromkeys(flat))}
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(row) for row in rows], dtype=np.int64)])
        codes = np.fromiter((codes_of[value] for value in flat), np.int32, len(flat))
        return cls(Vocabulary.build(codes_of), offsets=offsets, codes=codes)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def values_of(self, row: int) -> tuple[str, ...]:
        """Return the texts of a row."""
        return tuple(self._values.ids(self._codes[self._offsets[row] : self._offsets[row + 1]]))

    def matching(self, operator: Operator, value: Scalar) -> Rows:  # noqa: ARG002 -- only equality is asked of texts
        """Return the rows that have a text among theirs."""
        code = self._values.index(str(value))
        if code is None:
            return FrozenBitMap()
        kept = self._kept.get(code)
        if kept is None:
            kept = rows_of(self._rows[self._ends[code] : self._ends[code + 1]])
            if len(kept) >= _MIN_KEPT_ROWS:
                self._kept[code] = kept
        return kept


class NumberColumn:
    """A number for each row, or null.

    Columns of integers are compared exactly. What a column of floating-point numbers is compared with is rounded to the
    column's own precision first, so that 9.99 finds the 9.99 of a column of 32 bits.

    Args:
        values: int32, int64, float32 or float64 [n]; NaN is null.
        is_null: bool [n], whether there is no value; None where NaN tells it or each row has one.
    """

    def __init__(self, values: NDArray[Any], is_null: NDArray[np.bool_] | None = None) -> None:
        self._values = values
        self._is_float = values.dtype.kind == "f"
        missing = np.zeros(len(values), bool) if is_null is None else is_null
        self._is_null = missing | np.isnan(values) if self._is_float else missing
        rows = np.flatnonzero(~self._is_null)
        self._rows = rows[np.argsort(values[rows], kind="stable")].astype(np.uint32)
        self._sorted = values[self._rows]
        self._blocks = [
            rows_of(np.sort(self._rows[start : start + _BLOCK])) for start in range(0, len(self._rows), _BLOCK)
        ]

    def __len__(self) -> int:
        return len(self._values)

    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the number of a row, with the precision of the column, or nothing for null."""
        return () if self._is_null[row] else (self._values[row],)

    def matching(self, operator: Operator, value: Scalar) -> Rows:
        """Return the rows whose numbers stand in a relation to another; null stands in none."""
        below, to = self._places(value)
        match operator:
            case Operator.LESS:
                return self._between(0, below)
            case Operator.LESS_OR_EQUAL:
                return self._between(0, to)
            case Operator.GREATER:
                return self._between(to, len(self._sorted))
            case Operator.GREATER_OR_EQUAL:
                return self._between(below, len(self._sorted))
        return self._between(below, to)

    def _places(self, value: Scalar) -> tuple[int, int]:
        """Return how many numbers are below a value, and how many are not above it."""
        assert not isinstance(value, str)
        if self._is_float:
            with np.errstate(over="ignore"):
                bound = self._values.dtype.type(value)
        else:
            limits = np.iinfo(self._values.dtype)
            if not limits.min <= value <= limits.max:
                place = 0 if value < limits.min else len(self._sorted)
                return place, place
            bound = self._values.dtype.type(math.floor(value))
        below, to = (int(self._sorted.searchsorted(bound, side)) for side in ("left", "right"))
        # Between two integers there is none, and all up to the lower one are below.
        return (to, to) if not self._is_float and bound != value else (below, to)

    def _between(self, start: int, stop: int) -> Rows:
        """Return the rows at some places of the order."""
        first, last = -(-start // _BLOCK), stop // _BLOCK
        if first >= last:
            return rows_of(np.sort(self._rows[start:stop]))
        ends = (self._rows[start : first * _BLOCK], self._rows[last * _BLOCK : stop])
        return FrozenBitMap.union(*self._blocks[first:last], *(rows_of(np.sort(rows)) for rows in ends if len(rows)))


Column = TextColumn | NumberColumn


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of equally many rows.

    Attributes:
        n_rows: All rows that a filter may choose from, also those without a value in any column.
        columns: By the names that the schema gives them; one that is not here is null everywhere.
    """

    n_rows: int
    columns: Mapping[str, Column]

    def values_of(self, row: int | None, name: str) -> tuple[Scalar, ...]:
        """Return the values of a row in a column; nothing for null, an unknown row or an absent column."""
        column = self.columns.get(name)
        return () if row is None or column is None else column.values_of(row)
