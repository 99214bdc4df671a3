"""Which items follow each other: counts of pairs within a window of each history, closer pairs weighing more.

The counts are the whole of the sequence rules, and their leading directions are where the embeddings of a network
begin.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows

__all__ = ["Cooccurrence", "count_followers", "leading_directions"]


class Cooccurrence(SparseRows):
    """A sparse matrix [n_items, n_items], row by row, the columns of a row in ascending order."""

    __slots__ = ()

    def with_transpose(self, share: float) -> Cooccurrence:
        """Return the sum of this matrix and `share` times its transpose."""
        if share == 0.0:
            return self
        rows, columns = self.rows(), self.columns.astype(np.int64)
        return _collect(
            np.concatenate([rows, columns]),
            np.concatenate([columns, rows]),
            np.concatenate([self.values, np.float32(share) * self.values]),
            n_items=len(self.offsets) - 1,
        )

    def scaled(self, scale: FloatArray) -> Cooccurrence:
        """Return this matrix with entry (i, j) multiplied by `scale[i] * scale[j]`."""
        values = self.values * scale[self.rows()] * scale[self.columns]
        return Cooccurrence(self.offsets, self.columns, values.astype(np.float32))

    def strongest(self, count: int) -> Cooccurrence:
        """Return this matrix with only the `count` largest values of each row, in the order of their columns."""
        rows = self.rows()
        order = np.lexsort((self.columns, -self.values, rows))
        lengths = np.diff(self.offsets)
        ranks = np.arange(len(order)) - np.repeat(self.offsets[:-1], lengths)
        kept = np.sort(order[ranks < count])
        offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, count))]).astype(np.int64)
        return Cooccurrence(offsets, self.columns[kept], self.values[kept])


def count_followers(
    histories: Histories,
    *,
    n_items: int,
    window: int,
    weight: Callable[[int], float] = lambda gap: 1.0 / gap,
    weights: FloatArray | None = None,
) -> Cooccurrence:
    """Count how often item j comes after item i in a history.

    Args:
        histories: To count in.
        n_items: Items of the catalogue.
        window: Places that j may come after i at most.
        weight: What a pair counts, given how many places are between the two, from 1 for neighbours.
        weights: float32 [total], what each step counts as a follower; None for 1.

    Returns:
        Row i, column j: the summed weights.
    """
    users = histories.owners()
    before, after, values = [], [], []
    for gap in range(1, window + 1):
        together = users[gap:] == users[:-gap]
        before.append(histories.items[:-gap][together])
        after.append(histories.items[gap:][together])
        counted = np.full(len(before[-1]), weight(gap), np.float32)
        values.append(counted if weights is None else counted * weights[gap:][together])
    return _collect(np.concatenate(before), np.concatenate(after), np.concatenate(values), n_items=n_items)


def leading_directions(matrix: Cooccurrence, *, count: int, seed: int) -> FloatArray:
    """Find the eigenvectors of the largest eigenvalues (by size) of a symmetric matrix, approximately.

    Subspace iteration from a random start (Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM
    Review 2011), each direction then scaled by the root of its eigenvalue.

    Returns:
        float32 [n_items, min(count, n_items)].
    """
    n_items = len(matrix.offsets) - 1
    count = min(count, n_items)
    width = min(n_items, count + 10)
    basis = np.random.default_rng(seed).standard_normal((n_items, width)).astype(np.float32)
    for _ in range(4):
        basis = np.linalg.qr(matrix @ basis)[0]
    values, vectors = np.linalg.eigh(basis.T @ (matrix @ basis))
    chosen = np.argsort(-np.abs(values), kind="stable")[:count]
    directions: FloatArray = basis @ vectors[:, chosen] * np.sqrt(np.abs(values[chosen]))
    return directions.astype(np.float32, copy=False)


def _collect(
    rows: NDArray[np.integer], columns: NDArray[np.integer], values: FloatArray, *, n_items: int
) -> Cooccurrence:
    """Sum the values of equal places."""
    keys = rows.astype(np.int64) * n_items + columns
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    firsts = np.flatnonzero(np.diff(keys, prepend=-1))
    summed = np.add.reduceat(values, firsts) if len(firsts) else values
    places = keys[firsts]
    offsets = np.searchsorted(places, np.arange(n_items + 1) * n_items)
    return Cooccurrence(offsets.astype(np.int64), (places % n_items).astype(np.int32), summed.astype(np.float32))
