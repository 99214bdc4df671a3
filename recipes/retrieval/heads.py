"""What items come to at most, by their heads: what `scan` knows of them, item by item instead of block by block.

Whoever wants bounds of a few items from all over the catalogue reads 64 bytes of each, where its vector has hundreds.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled_sums
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.scan import ScanIndex

__all__ = ["Heads", "head_columns", "upper_bounds"]

#: What a processor fetches from memory at a time: rows are so many bytes or a multiple, and so is where they begin.
_LINE: Final = 64
#: Columns of codes are so many or a multiple, as vector instructions take them; the last ones may be empty.
_COLUMNS: Final = 16
_NUMBERS: Final = 4


class Heads(NamedTuple):
    """Bounds of each item, see `recipes.retrieval.scan_build.ScanParts`: rows of bytes that are read in two ways.

    Attributes:
        codes: int8 [n_items, bytes]; first the columns of the head, then nothing, and at the end the numbers.
        numbers: float32 [n_items, bytes / 4], the same memory: the last four are what codes are multiplied by, the
            lengths of what they leave out and of the tail, and the offset.
    """

    codes: NDArray[np.int8]
    numbers: FloatArray

    @classmethod
    def of(cls, scan: ScanIndex) -> Self:
        """Copy what a scan of the whole catalogue has."""
        parts = scan.parts
        head, n_items = parts.codes.shape[1], len(scan.item_vectors)
        size = -(-(head_columns(head) + 4 * _NUMBERS) // _LINE) * _LINE
        memory = np.zeros(n_items * size + _LINE, np.int8)
        first = -memory.ctypes.data % _LINE
        codes = memory[first : first + n_items * size].reshape(n_items, size)
        numbers = codes.view(np.float32)
        is_item = parts.items >= 0
        items = parts.items[is_item]
        codes[items, :head] = parts.codes.transpose(0, 2, 1).reshape(-1, head)[is_item]
        for column, array in enumerate((parts.scales, parts.errors, parts.tails, parts.offsets)):
            numbers[items, column - _NUMBERS] = array[is_item]
        codes.flags.writeable = numbers.flags.writeable = False  # as mapped ones
        return cls(codes, numbers)


def head_columns(columns: int) -> int:
    """Return how many columns codes have for a head of so many."""
    return -(-columns // _COLUMNS) * _COLUMNS


@compiled_sums
def upper_bounds(
    codes: NDArray[np.int8],
    numbers: FloatArray,
    items: ItemIndexes,
    head: FloatArray,
    head_length: np.float32,
    tail_length: np.float32,
    base: np.float32,
) -> FloatArray:
    """Return what the products of some items with a query are at most: float32 [k].

    Args:
        codes: Of `Heads`.
        numbers: Of `Heads`.
        items: int32 [k], from 0 to `n_items` - 1.
        head: float32 [`head_columns`], of the query; see `recipes.retrieval.scan.turned_query`.
        head_length: Likewise.
        tail_length: Likewise.
        base: What is added to all: the product with the mean item, and what rounding may hide.
    """
    bounds, last = np.empty(len(items), np.float32), numbers.shape[1] - 4
    for place in range(len(items)):
        item = np.uint32(items[place])
        total = np.float32(0.0)
        for column in range(len(head)):
            total += head[column] * np.float32(codes[item, column])
        lengths = head_length * numbers[item, last + 1] + tail_length * numbers[item, last + 2]
        bounds[place] = total * numbers[item, last] + (numbers[item, last + 3] + (lengths + base))
    return bounds
