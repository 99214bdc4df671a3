"""Counts that several models learn from: users of an item, what follows what, and percentiles of use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData

__all__ = ["count_successors", "users_per_item", "within_percentiles"]


def users_per_item(data: TrainingData) -> NDArray[np.int64]:
    """Count the different users of each item: int64 [n_items]."""
    # At least 1, so that data without items are no division by 0.
    n_items = max(1, data.n_items)
    pairs = np.unique(data.interactions.user.astype(np.int64) * n_items + data.interactions.item)
    return np.bincount(pairs % n_items, minlength=data.n_items)


def count_successors(
    histories: Histories,
    *,
    n_items: int,
    window: int,
    weight: Callable[[int], float] = lambda gap: 1.0 / gap,
    weights: FloatArray | None = None,
    involving: NDArray[np.bool_] | None = None,
) -> SparseRows:
    """Count how often item j comes after item i in a history, within a window, closer pairs weighing more.

    Args:
        histories: Steps of all users, which never form pairs across users.
        n_items: Items of the catalogue.
        window: Places that j may come after i at most.
        weight: What a pair counts, given how many places are between the two, from 1 for neighbours.
        weights: float32 [total], what each step counts as a successor; None for 1.
        involving: bool [n_items], count only pairs of which either item is one of these; None for all.

    Returns:
        [n_items, n_items], row i, column j: the summed weights.
    """
    users = histories.owners()
    counts = None if involving is None else involving[histories.items]
    before, after, values = [], [], []
    for gap in range(1, window + 1):
        is_pair = users[gap:] == users[:-gap]
        if counts is not None:
            is_pair &= counts[gap:] | counts[:-gap]
        before.append(histories.items[:-gap][is_pair])
        after.append(histories.items[gap:][is_pair])
        counted = np.full(len(before[-1]), weight(gap), np.float32)
        values.append(counted if weights is None else counted * weights[gap:][is_pair])
    shape = (n_items, n_items)
    return SparseRows.summed(np.concatenate(before), np.concatenate(after), np.concatenate(values), shape=shape)


def within_percentiles(counts: NDArray[np.int64], *, low: float, high: float) -> NDArray[np.bool_]:
    """Return which counts lie within two percentiles of those above 0, both included: bool [n].

    A percentile between two counts is the outer one, so that few users or items are not cut for want of a better one.

    Args:
        counts: int64 [n], interactions of users or of items.
        low: Share of those above 0 that lie below the least count that is kept, 0 to 1.
        high: Share of those above 0 that lie up to the greatest count that is kept, 0 to 1.
    """
    used = counts[counts > 0]
    if not len(used):
        return counts > 0
    least, most = np.quantile(used, low, method="lower"), np.quantile(used, high, method="higher")
    inside: NDArray[np.bool_] = (counts >= least) & (counts <= most)
    return inside
