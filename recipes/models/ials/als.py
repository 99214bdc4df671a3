"""Vectors of users and items whose inner product is high where a user used an item: alternating least squares.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), with the loss and the
regularisation of Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation
Benchmarks" (RecSys 2022): the sum over used pairs of w (1 - p·q)^2, plus a over all pairs of (p·q)^2, plus
r (W + a n) |p|^2 for each user (W: the sum of the user's w, n: the number of items), and the same for each item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes, Offsets

__all__ = ["Factors", "Pairs", "factorise", "solve"]

#: a in the loss: how much a pair that was not used counts.
_UNOBSERVED: Final = 0.1
#: Size of the first vectors.
_FIRST_SIZE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which items each row used, each once: a sparse matrix by rows.

    Attributes:
        offsets: int64 [n_rows + 1]; row r owns the entries `offsets[r]` to `offsets[r + 1] - 1`.
        columns: int32 [entries]; those of users in the order of their last use.
        n_columns: Of the matrix.
    """

    offsets: Offsets
    columns: ItemIndexes
    n_columns: int

    @classmethod
    def of_histories(cls, histories: Histories, *, n_items: int) -> Pairs:
        """Keep the newest step with each item."""
        keys = histories.owners() * n_items + histories.items
        _, last = np.unique(keys[::-1], return_index=True)
        kept = np.zeros(len(keys), bool)
        kept[len(keys) - 1 - last] = True
        distinct = histories.where(kept)
        return cls(distinct.offsets, distinct.items, n_items)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of entries of each row: int64 [n_rows]."""
        return np.diff(self.offsets)

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each entry: int64 [entries]."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def order_by_column(self) -> NDArray[np.int64]:
        """Return the places of the entries, column by column: int64 [entries]."""
        return np.argsort(self.columns, kind="stable")

    def transposed(self) -> Pairs:
        """Return the same pairs by columns."""
        counts = np.bincount(self.columns, minlength=self.n_columns)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return Pairs(offsets, self.rows()[self.order_by_column()].astype(np.int32), len(self))

    def ages(self) -> NDArray[np.int64]:
        """Return how many entries of the same row come after each: int64 [entries]."""
        return np.repeat(self.offsets[1:], self.lengths()) - 1 - np.arange(len(self.columns))


@dataclass(frozen=True, slots=True)
class Factors:
    """The vectors.

    Attributes:
        users: float32 [n_users, d].
        items: float32 [n_items, d].
        regularization: r in the loss.
    """

    users: FloatArray
    items: FloatArray
    regularization: float

    @classmethod
    def random(cls, n_users: int, n_items: int, *, width: int, regularization: float, seed: int) -> Factors:
        """Return vectors to begin with."""
        drawn = np.random.default_rng(seed).standard_normal((n_users + n_items, width), np.float32)
        drawn *= _FIRST_SIZE / np.sqrt(width)
        return cls(drawn[:n_users], drawn[n_users:], regularization)


def factorise(pairs: Pairs, begin: Factors, *, sweeps: int) -> Factors:
    """Improve vectors by so many passes over users and items."""
    transposed, found = pairs.transposed(), begin
    for _ in range(sweeps):
        users = solve(pairs, found.items, regularization=begin.regularization)
        items = solve(transposed, users, regularization=begin.regularization)
        found = Factors(users, items, begin.regularization)
    return found


def solve(pairs: Pairs, others: FloatArray, *, regularization: float, weights: FloatArray | None = None) -> FloatArray:
    """Find the vectors of the rows that fit given vectors of the columns best.

    Args:
        pairs: The rows.
        others: float32 [n_columns, d].
        regularization: r in the loss.
        weights: float32 [entries], w in the loss; 1 by default.

    Returns:
        float32 [n_rows, d]; 0 for rows without entries.
    """
    width = others.shape[1]
    gram, diagonal = _UNOBSERVED * (others.T @ others), np.diag_indices(width)
    found = np.zeros((len(pairs), width), np.float32)
    for row in np.flatnonzero(pairs.lengths()):
        own = slice(pairs.offsets[row], pairs.offsets[row + 1])
        used = others[pairs.columns[own]]
        weighed = used if weights is None else used * weights[own, None]
        total = len(used) if weights is None else float(weights[own].sum())
        matrix = gram + weighed.T @ used
        matrix[diagonal] += regularization * (total + _UNOBSERVED * pairs.n_columns)
        found[row] = np.linalg.solve(matrix, weighed.sum(axis=0))
    return found
