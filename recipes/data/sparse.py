"""Sparse matrices, row by row, with what fitting and serving need of them, in NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, ItemIndexes, Offsets

__all__ = ["SparseRows"]

#: Values gathered at once by a product, 64 MiB of them.
_CHUNK_VALUES = 1 << 24


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix [n, m].

    Attributes:
        offsets: int64 [n + 1]; row i owns the entries `offsets[i]` to `offsets[i + 1]`.
        columns: int32 [entries], 0 to m - 1.
        values: float32 [entries].
    """

    offsets: Offsets
    columns: ItemIndexes
    values: FloatArray

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each entry: int64 [entries]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def transposed(self, n_columns: int) -> Self:
        """Return the transpose, [m, n]."""
        order = np.argsort(self.columns, kind="stable")
        offsets = np.searchsorted(self.columns[order], np.arange(n_columns + 1))
        return type(self)(offsets.astype(np.int64), self.rows()[order].astype(np.int32), self.values[order])

    def __matmul__(self, dense: FloatArray) -> FloatArray:
        """Multiply by float32 [m, k]."""
        product = np.zeros((len(self.offsets) - 1, dense.shape[1]), np.float32)
        size = max(1, _CHUNK_VALUES // max(1, dense.shape[1]))
        begin = 0
        while begin < len(product):
            # As many whole rows as fit, at least one.
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + size, side="right")) - 1
            end = min(max(end, begin + 1), len(product))
            part = slice(int(self.offsets[begin]), int(self.offsets[end]))
            gathered = dense[self.columns[part]] * self.values[part, None]
            filled = begin + np.flatnonzero(np.diff(self.offsets[begin : end + 1]))
            if len(filled):
                product[filled] = np.add.reduceat(gathered, self.offsets[filled] - self.offsets[begin], axis=0)
            begin = end
        return product
