"""Vectors of users and items whose inner product is high where a user used an item: alternating least squares.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), with the loss and the
regularisation of Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation
Benchmarks" (RecSys 2022): the sum over used pairs of w (1 - p·q)^2, plus a over all pairs of (p·q)^2, plus
r (W + a n) |p|^2 for each user (W: the sum of the user's w, n: the number of items), and the same for each item.

With the items' vectors Q fixed, a user's vector is the solution of (a Q^T Q + sum w q q^T + r (W + a n) I) p = sum w q,
a system of d equations, so a user who was not learnt from, or did something since, is folded in exactly and at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows

__all__ = ["UNOBSERVED_WEIGHT", "Factors", "factorise", "fold_in", "newest_uses", "solve"]

#: a in the loss: how much a pair that was not used counts.
UNOBSERVED_WEIGHT: Final = 0.1
#: Expected length of the first vectors.
_FIRST_LENGTH: Final = 0.1


@dataclass(frozen=True, slots=True)
class Factors:
    """The vectors of users and items.

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
        drawn *= _FIRST_LENGTH / np.sqrt(width)
        return cls(drawn[:n_users], drawn[n_users:], regularization)


def newest_uses(histories: Histories, *, n_items: int) -> SparseRows:
    """Return which items each user used: [n_users, n_items], 1 each, a row in the order of last use."""
    keys = histories.owners() * n_items + histories.items
    _, last = np.unique(keys[::-1], return_index=True)
    kept = np.zeros(len(keys), bool)
    kept[len(keys) - 1 - last] = True
    distinct = histories.where(kept)
    return SparseRows(distinct.offsets, distinct.items, np.ones(len(distinct.items), np.float32))


def factorise(uses: SparseRows, begin: Factors, *, sweeps: int, unobserved: float = UNOBSERVED_WEIGHT) -> Factors:
    """Improve vectors by passes over users and items.

    Args:
        uses: [n_users, n_items], from `newest_uses`: every value is 1.
        begin: The vectors to begin with.
        sweeps: Number of passes.
        unobserved: a in the loss.
    """
    transposed, factors = uses.transposed(len(begin.items)), begin
    for _ in range(sweeps):
        users = solve(uses, factors.items, regularization=begin.regularization, unobserved=unobserved, binary=True)
        items = solve(transposed, users, regularization=begin.regularization, unobserved=unobserved, binary=True)
        factors = Factors(users, items, begin.regularization)
    return factors


def solve(
    uses: SparseRows,
    others: FloatArray,
    *,
    regularization: float,
    unobserved: float = UNOBSERVED_WEIGHT,
    binary: bool = False,
) -> FloatArray:
    """Find the vectors of the rows that fit given vectors of the columns best.

    Args:
        uses: [n_rows, n_columns], w in the loss.
        others: float32 [n_columns, d].
        regularization: r in the loss.
        unobserved: a in the loss.
        binary: Whether every w is 1, which saves half of the work.

    Returns:
        float32 [n_rows, d]; 0 for rows without entries.
    """
    gram = unobserved * (others.T @ others)
    vectors = np.zeros((len(uses), others.shape[1]), np.float32)
    for row in np.flatnonzero(uses.lengths()):
        span = uses.span(row)
        vectors[row] = fold_in(
            gram,
            others[uses.columns[span]],
            None if binary else uses.values[span],
            regularization=regularization,
            unobserved_mass=unobserved * len(others),
        )
    return vectors


def fold_in(
    gram: FloatArray,
    used: FloatArray,
    weights: FloatArray | None,
    *,
    regularization: float,
    unobserved_mass: float,
) -> FloatArray:
    """Return the vector of one row, given the vectors of the columns.

    Args:
        gram: float32 [d, d], a Q^T Q over all columns.
        used: float32 [k, d], vectors of the row's columns, k above 0.
        weights: float32 [k], w in the loss; None where all are 1.
        regularization: r in the loss.
        unobserved_mass: a n in the loss.

    Returns:
        float32 [d].
    """
    weighed = used if weights is None else used * weights[:, None]
    total = len(used) if weights is None else float(weights.sum())
    matrix = gram + weighed.T @ used
    matrix[np.diag_indices(len(matrix))] += regularization * (total + unobserved_mass)
    vector: FloatArray = np.linalg.solve(matrix, weighed.sum(axis=0))
    return vector
