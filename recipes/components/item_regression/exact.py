"""Solving the regression of every item on all others exactly, by the smaller of two matrices.

With X [n_users, n_items] of who used what and l the penalty, EASE (Steck, "Embarrassingly Shallow Autoencoders for
Sparse Data", WWW 2019) needs P, the inverse of X'X + l, and its weights are -P / diag(P), column by column. By the
identity of Woodbury P is (1 - X' K X) / l, where K, the inverse of XX' + l, has a row for each user: with some
thousands of users catalogues of tens of thousands are solved exactly, in time that grows with interactions times items
and with the square of the items, whose weights are all looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri

from common.compiled import compiled
from recipes.components.item_regression.limits import MAX_EXACT, MAX_PRODUCTS, PER_CELL, ROWS_AT_ONCE
from recipes.data.histories import FloatArray, Histories, ItemIndexes, Offsets
from recipes.data.sparse import SparseRows

__all__ = ["exact_weights", "solves_exactly"]

Rows = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


def solves_exactly(histories: Histories, *, n_items: int) -> bool:
    """Return whether `exact_weights` is affordable: few items, or few users and not too many interactions and items."""
    n_users = int(np.count_nonzero(histories.lengths()))
    products = n_items * max(len(histories.items), PER_CELL * n_items)
    return n_items <= MAX_EXACT or (n_users <= MAX_EXACT and products <= MAX_PRODUCTS)


def exact_weights(
    histories: Histories, worths: FloatArray, *, penalty: float, kept: int, progress: Callable[[float], None]
) -> SparseRows:
    """Solve for all items at once, in float64 for each pair of items or of users, whichever are fewer.

    Args:
        histories: Different items of each user.
        worths: float32 [n_items], what predictions of each item are multiplied by.
        penalty: Added to the number of users of each item, above 0.
        kept: Weights kept of a row, those above 0 that are largest.
        progress: Called with the share of the items that are solved, 0 to 1; may raise to stop the work.

    Returns:
        Row j, column i: how much item j adds to the prediction of item i; the largest of each row first.
    """
    n_items = len(worths)
    used = histories.take(np.flatnonzero(histories.lengths()))
    solve = _by_users if len(used) < n_items else _by_items
    kept = min(kept, n_items)
    columns, values, lengths = [], [], []
    for rows, solved in solve(used, n_items=n_items, penalty=penalty):
        weights = solved * worths
        weights[np.arange(len(rows)), rows] = 0.0
        largest = np.argpartition(-weights, kept - 1, axis=1)[:, :kept]
        sizes = np.take_along_axis(weights, largest, axis=1)
        order = np.argsort(-sizes, axis=1, kind="stable")
        sizes = np.take_along_axis(sizes, order, axis=1).astype(np.float32)
        above = sizes > 0.0
        columns.append(np.take_along_axis(largest, order, axis=1).astype(np.int32)[above])
        values.append(sizes[above])
        lengths.append(above.sum(axis=1))
        progress(float(rows[-1] + 1) / n_items)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return SparseRows(offsets, np.concatenate(columns), np.concatenate(values))


def _by_items(histories: Histories, *, n_items: int, penalty: float) -> Iterator[tuple[Rows, Floats]]:
    """Yield rows of the weights, some at a time, whatever stands on their diagonal."""
    # In the order of Fortran, in which LAPACK works in place; below the diagonal alone.
    gram = np.zeros((n_items, n_items), np.float64, order="F")
    gram[np.diag_indices(n_items)] = penalty
    _count_pairs(histories.items, histories.offsets, gram.T)
    inverse = _inverse(gram)
    diagonal = np.diag(inverse).copy()
    for rows in _blocks(n_items):
        yield rows, _symmetric_rows(inverse, rows) / -diagonal


def _by_users(histories: Histories, *, n_items: int, penalty: float) -> Iterator[tuple[Rows, Floats]]:
    """Do the same from the users' side."""
    n_users = len(histories)
    entries = (np.ones(len(histories.items), np.float32), histories.items, histories.offsets)
    used = sparse.csr_array(entries, shape=(n_users, n_items))
    users_of = used.T.tocsr()
    gram = np.asfortranarray((used.astype(np.float64) @ users_of).toarray())
    gram[np.diag_indices(n_users)] += penalty
    inverse = _inverse(gram)
    kernel = np.concatenate([_symmetric_rows(inverse, rows).astype(np.float32) for rows in _blocks(n_users)])
    explained = np.concatenate([
        np.asarray(users_of[rows].multiply(users_of[rows] @ kernel).sum(axis=1)).ravel() for rows in _blocks(n_items)
    ])  # fmt: skip
    for rows in _blocks(n_items):
        yield rows, ((users_of[rows] @ kernel) @ used) / (1.0 - explained)


def _blocks(size: int) -> Iterator[Rows]:
    for begin in range(0, size, ROWS_AT_ONCE):
        yield np.arange(begin, min(begin + ROWS_AT_ONCE, size))


def _inverse(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a positive definite matrix in place; it is given and returned below the diagonal alone."""
    factor, _ = dpotrf(lower, lower=True, clean=False, overwrite_a=True)
    inverse: NDArray[np.float64] = dpotri(factor, lower=True, overwrite_c=True)[0]
    return inverse


def _symmetric_rows(lower: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return adjacent rows of a symmetric matrix of which the lower triangle is there: float64 [rows, n]."""
    begin, end = int(rows[0]), int(rows[-1]) + 1
    block = np.tril(lower[begin:end, begin:end])
    block += np.tril(block, -1).T
    return np.concatenate([lower[begin:end, :begin], block, lower[end:, begin:end].T], axis=1)


@compiled
def _count_pairs(items: ItemIndexes, offsets: Offsets, upper: NDArray[np.float64]) -> None:
    """Count the users of each item and of each two items, on and above the diagonal of [n_items, n_items]."""
    for user in range(len(offsets) - 1):
        for step in range(offsets[user], offsets[user + 1]):
            for later in range(step, offsets[user + 1]):
                first, second = items[step], items[later]
                upper[min(first, second), max(first, second)] += 1.0
