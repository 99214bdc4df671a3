"""Choosing the best of many scores, the same way everywhere: ties go to the lower place.

Partitioning all scores costs more than computing them, so they are first cut into many columns. The highest scores of
as many columns as results are wanted are so many scores, hence the lowest of these is a bound that no result is below,
and what reaches it is hardly more than what is wanted.
"""

from __future__ import annotations

import numpy as np

from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["top_k"]

#: Columns for each result wanted: with more, fewer scores reach the bound, but there are more columns to look at.
_COLUMNS = 8


def top_k(scores: FloatArray, limit: int) -> ItemIndexes:
    """Find the places of the highest scores.

    Args:
        scores: float32 [n], no NaN among them.
        limit: How many at most.

    Returns:
        int32 [min(limit, n)], highest first, equal scores by place.
    """
    limit = min(limit, len(scores))
    if limit <= 0:
        return np.empty(0, np.int32)
    chosen = (scores >= _bound(scores, limit)).nonzero()[0]
    # The stable sort keeps equal scores in the order of their places, so what is cut off is the last of them.
    order = (-scores[chosen]).argsort(kind="stable")[:limit]
    return chosen[order].astype(np.int32)


def _bound(scores: FloatArray, limit: int) -> np.float32:
    """Return a score that at least `limit` scores reach, most often few more."""
    columns = _COLUMNS * limit
    rows = len(scores) // columns
    highest = scores[: rows * columns].reshape(rows, columns).max(axis=0) if rows > 1 else scores
    place = len(highest) - limit
    bound: np.float32 = np.partition(highest, place)[place]
    return bound
