"""Sparse matrices by rows, with what fitting and serving need of them, in NumPy alone; and their leading subspaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, ItemIndexes, Offsets

__all__ = ["SparseRows", "leading_subspace"]

#: Directions beyond those that are wanted, which make the others more exact.
_OVERSAMPLING = 10
#: Columns whose least direction has a smaller share of the largest one's square are nearly dependent.
_DEPENDENT = 1e-6
#: Rows that are held in float64 at once.
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix [n, m] in compressed rows.

    Attributes:
        offsets: int64 [n + 1]; row i owns the entries `offsets[i]` to `offsets[i + 1] - 1`.
        columns: int32 [entries], 0 to m - 1.
        values: float32 [entries].
    """

    offsets: Offsets
    columns: ItemIndexes
    values: FloatArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of entries of each row: int64 [n]."""
        return np.diff(self.offsets)

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each entry: int64 [entries]."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def span(self, row: int | np.integer[Any]) -> slice:
        """Return where the entries of a row lie."""
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))

    def entries_of(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the places of the entries of some rows, row after row in the given order: int64 [k]."""
        lengths = self.lengths()[rows]
        ends = np.cumsum(lengths)
        return np.repeat(self.offsets[rows] - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)

    def transposed(self, n_columns: int) -> SparseRows:
        """Return the transpose, [m, n]; the entries of its rows keep the order of the rows here."""
        order = np.argsort(self.columns, kind="stable")
        offsets = np.searchsorted(self.columns[order], np.arange(n_columns + 1))
        return SparseRows(offsets.astype(np.int64), self.rows()[order].astype(np.int32), self.values[order])

    def __matmul__(self, dense: FloatArray) -> FloatArray:
        """Multiply by float32 [m, k]."""
        return self.product(dense)

    def product(self, dense: FloatArray, *, values_at_once: int = 1 << 24) -> FloatArray:
        """Multiply by float32 [m, k], as many whole rows at once as gather `values_at_once` values: 64 MiB by default.

        Returns:
            float32 [n, k].
        """
        product = np.zeros((len(self), dense.shape[1]), np.float32)
        size = max(1, values_at_once // max(1, dense.shape[1]))
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


def leading_subspace(
    multiply: Callable[[FloatArray], FloatArray],
    *,
    size: int,
    count: int,
    passes: int,
    seed: int,
    project: Callable[[FloatArray], FloatArray] | None = None,
    rank: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Find the eigenvectors of the largest eigenvalues (by size) of a symmetric matrix, approximately.

    Subspace iteration from a random start: Halko, Martinsson and Tropp, "Finding Structure with Randomness" (SIAM
    Review 2011), algorithms 4.4 and 5.3.

    Args:
        multiply: The matrix [size, size] times float32 [size, k].
        size: Rows of the matrix.
        count: Eigenvectors wanted.
        passes: Multiplications before the last one; more are more exact.
        seed: Decides the random start.
        project: basis^T M basis, float32 [k, k], of a basis [size, k], for a Gram matrix M, where that is cheaper
                than by `multiply`.
        rank: Highest rank that the matrix may have; `size` if left out.

    Returns:
        Eigenvalues, float32 [c], the largest by size first, and eigenvectors, float32 [size, c]; c is at most `count`.
    """
    width = min(size, size if rank is None else rank, count + _OVERSAMPLING)
    basis = np.random.default_rng(seed).standard_normal((size, width)).astype(np.float32)
    for _ in range(passes):
        basis = _orthonormal(multiply(basis))
    # Once more, as rounding grows with the range of the eigenvalues.
    basis = _orthonormal(basis)
    values, vectors = np.linalg.eigh(basis.T @ multiply(basis) if project is None else project(basis))
    # What is projected is a Gram matrix: a negative value is rounding, and no large one.
    sizes = np.abs(values) if project is None else values
    chosen = np.argsort(-sizes, kind="stable")[:count]
    return values[chosen], basis @ vectors[:, chosen]


def _orthonormal(vectors: FloatArray) -> FloatArray:
    """Return an orthonormal basis of the columns of float32 [n, k], of the same shape.

    By the Gram matrix, which takes two products where a QR decomposition of a tall matrix takes ten times as long. That
    squares the range of the columns, so the decomposition is done where they are nearly dependent.
    """
    if not vectors.shape[1]:  # nothing was learnt, so that there is nothing to be a basis of
        return vectors
    gram = np.zeros((vectors.shape[1], vectors.shape[1]))
    for begin in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = vectors[begin : begin + _ROWS_AT_ONCE].astype(np.float64)
        gram += rows.T @ rows
    squares, directions = np.linalg.eigh(gram)
    if squares[0] <= _DEPENDENT * squares[-1]:
        return np.linalg.qr(vectors)[0]
    basis: FloatArray = vectors @ (directions / np.sqrt(squares)).astype(np.float32)
    return basis
