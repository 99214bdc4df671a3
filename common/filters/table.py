"""The columns that filters are evaluated over, each indexed so that the rows of a value or of a range are at hand.

Rows are numbered 0 to n - 1, items, actions or users; sets of rows are roaring bitmaps. A column of text is an inverted
index; a column of numbers keeps its rows in the order of their values, with a bitmap for every block of them, so that a
range is found by bisection and is a union of some blocks and the two ends.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import FrozenBitMap

from common.filters.expression import Operator, Scalar
from common.vocabulary import Vocabulary

__all__ = ["Column", "NumberColumn", "Rows", "Table", "TextColumn", "invert", "rows_of"]

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


class Column(ABC):
    """The values of all rows in one column; immutable."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the values of a row; none for null."""

    @abstractmethod
    def matching(self, operator: Operator, value: Scalar) -> Rows:
        """Return the rows of which a value stands in a relation to another one; null stands in none."""


class TextColumn(Column):
    """Any number of texts for each row: none is null, several are what `|` joins in a categorical column.

    Build one with `TextColumn.build`; the constructor does not check its arrays.

    Args:
        values: All different texts.
        offsets: int64 [n + 1]; row r owns the codes `offsets[r]` to `offsets[r + 1] - 1`.
        codes: int32 [total], places in `values`.
        ends: int64 [number of values + 1]; value v owns the places `ends[v]` to `ends[v + 1] - 1` of `rows`.
        rows: uint32 [total], ascending for each value.
    """

    def __init__(
        self,
        values: Vocabulary,
        *,
        offsets: NDArray[np.int64],
        codes: NDArray[np.int32],
        ends: NDArray[np.int64],
        rows: NDArray[np.uint32],
    ) -> None:
        self.values = values
        self.offsets = offsets
        self.codes = codes
        self.ends = ends
        self.rows = rows
        self._kept: dict[int, Rows] = {}

    @classmethod
    def build(cls, values: Vocabulary, *, offsets: NDArray[np.int64], codes: NDArray[np.int32]) -> TextColumn:
        """Index a column; the arguments are those of the constructor."""
        ends, rows = invert(codes, offsets=offsets, n_values=len(values))
        return cls(values, offsets=offsets, codes=codes, ends=ends, rows=rows)

    @classmethod
    def of_values(cls, rows: Sequence[Sequence[str]]) -> TextColumn:
        """Make a column of the texts of each row."""
        flat = [value for row in rows for value in row]
        codes_of = {value: code for code, value in enumerate(dict.fromkeys(flat))}
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(row) for row in rows], dtype=np.int64)])
        codes = np.fromiter((codes_of[value] for value in flat), np.int32, len(flat))
        return cls.build(Vocabulary.build(codes_of), offsets=offsets, codes=codes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def values_of(self, row: int) -> tuple[str, ...]:
        """Return the texts of a row."""
        return tuple(self.values.ids(self.codes[self.offsets[row] : self.offsets[row + 1]]))

    def matching(self, operator: Operator, value: Scalar) -> Rows:  # noqa: ARG002 -- only equality is asked of texts
        """Return the rows that have a text among theirs."""
        code = self.values.index(str(value))
        if code is None:
            return FrozenBitMap()
        kept = self._kept.get(code)
        if kept is None:
            kept = rows_of(self.rows[self.ends[code] : self.ends[code + 1]])
            if len(kept) >= _MIN_KEPT_ROWS:
                self._kept[code] = kept
        return kept


class NumberColumn(Column):
    """A number for each row, or null.

    Columns of integers are compared exactly. What a column of floating-point numbers is compared with is rounded to the
    column's own precision first, so that 9.99 finds the 9.99 of a column of 32 bits.

    Build one with `NumberColumn.build`; the constructor does not check its arrays.

    Args:
        values: int32, int64, float32 or float64 [n]; anything where there is no value.
        is_null: bool [n], whether there is no value.
        rows: uint32 [k], those with a value, in the order of the values.
        ordered: The values of these rows [k], ascending.
    """

    def __init__(
        self,
        values: NDArray[Any],
        *,
        is_null: NDArray[np.bool_],
        rows: NDArray[np.uint32],
        ordered: NDArray[Any],
    ) -> None:
        self.values = values
        self.is_null = is_null
        self.rows = rows
        self.ordered = ordered
        self._is_float = values.dtype.kind == "f"
        self._blocks: dict[int, Rows] = {}

    @classmethod
    def build(cls, values: NDArray[Any], is_null: NDArray[np.bool_] | None = None) -> NumberColumn:
        """Index a column.

        Args:
            values: int32, int64, float32 or float64 [n]; NaN is null.
            is_null: bool [n], whether there is no value; None where NaN tells it or each row has one.
        """
        missing = np.zeros(len(values), bool) if is_null is None else is_null
        if values.dtype.kind == "f":
            missing = missing | np.isnan(values)
        present = np.flatnonzero(~missing).astype(np.uint32)
        ordered = values[present]
        order = np.argsort(ordered, kind="stable")
        return cls(values, is_null=missing, rows=present[order], ordered=ordered[order])

    def __len__(self) -> int:
        return len(self.values)

    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the number of a row, with the precision of the column, or nothing for null."""
        return () if self.is_null[row] else (self.values[row],)

    def matching(self, operator: Operator, value: Scalar) -> Rows:
        """Return the rows whose numbers stand in a relation to another; null stands in none."""
        below, to = self._places(value)
        match operator:
            case Operator.LESS:
                return self._between(0, below)
            case Operator.LESS_OR_EQUAL:
                return self._between(0, to)
            case Operator.GREATER:
                return self._between(to, len(self.ordered))
            case Operator.GREATER_OR_EQUAL:
                return self._between(below, len(self.ordered))
        return self._between(below, to)

    def _places(self, value: Scalar) -> tuple[int, int]:
        """Return how many numbers are below a value, and how many are not above it."""
        assert not isinstance(value, str)
        if self._is_float:
            with np.errstate(over="ignore"):
                bound = self.values.dtype.type(value)
        else:
            limits = np.iinfo(self.values.dtype)
            if not limits.min <= value <= limits.max:
                place = 0 if value < limits.min else len(self.ordered)
                return place, place
            # `floor` makes a float of an integer of NumPy, which values of columns are: that holds 53 bits only.
            number: Any = value
            bound = self.values.dtype.type(number if isinstance(number, np.integer) else math.floor(number))
        below, to = (int(self.ordered.searchsorted(bound, side)) for side in ("left", "right"))
        # Between two integers there is none, and all up to the lower one are below.
        return (to, to) if not self._is_float and bound != value else (below, to)

    def _between(self, start: int, stop: int) -> Rows:
        """Return the rows at some places of the order."""
        first, last = -(-start // _BLOCK), stop // _BLOCK
        if first >= last:
            return rows_of(np.sort(self.rows[start:stop]))
        ends = (self.rows[start : first * _BLOCK], self.rows[last * _BLOCK : stop])
        blocks = (self._block(number) for number in range(first, last))
        return FrozenBitMap.union(*blocks, *(rows_of(np.sort(rows)) for rows in ends if len(rows)))

    def _block(self, number: int) -> Rows:
        kept = self._blocks.get(number)
        if kept is None:
            kept = self._blocks[number] = rows_of(np.sort(self.rows[number * _BLOCK : (number + 1) * _BLOCK]))
        return kept


def invert(
    codes: NDArray[np.int32], *, offsets: NDArray[np.int64], n_values: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return `ends` and `rows` of a `TextColumn`."""
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(codes, minlength=n_values))])
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint32), np.diff(offsets))
    # Stable, so that the rows of each value ascend.
    return ends, rows[np.argsort(codes, kind="stable")]


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
