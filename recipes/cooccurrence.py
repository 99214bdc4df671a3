"""Which items follow each other: counts of pairs within a window of each history, closer pairs weighing more.

The counts are the whole of the sequence rules, and their leading directions are where the embeddings of a network
begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.interface import FloatArray, Histories, ItemIndexes, Offsets

__all__ = ["Cooccurrence", "count_followers", "leading_directions"]

#: Values gathered at once by a product, 64 MiB of them.
_CHUNK_VALUES = 1 << 24


@dataclass(frozen=True, slots=True)
class Cooccurrence:
    """A sparse matrix [n_items, n_items], row by row.

    Attributes:
        offsets: int64 [n_items + 1]; row i owns the entries `offsets[i]` to `offsets[i + 1]`.
        columns: int32 [entries], ascending within a row.
        values: float32 [entries].
    """

    offsets: Offsets
    columns: ItemIndexes
    values: FloatArray

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each entry: int64 [entries]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

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

    def __matmul__(self, dense: FloatArray) -> FloatArray:
        """Multiply by float32 [n_items, k]."""
        product = np.zeros((len(self.offsets) - 1, dense.shape[1]), np.float32)
        size = max(1, _CHUNK_VALUES // dense.shape[1])
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
