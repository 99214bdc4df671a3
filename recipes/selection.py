"""Choosing the best of many scores, the same way everywhere: ties go to the lower place."""

from __future__ import annotations

import numpy as np

from recipes.interface import FloatArray, ItemIndexes

__all__ = ["best"]


def best(scores: FloatArray, limit: int) -> ItemIndexes:
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
    threshold = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    chosen = np.flatnonzero(scores >= threshold)
    # The stable sort keeps equal scores in the order of their places, so what is cut off is the last of them.
    order = np.argsort(-scores[chosen], kind="stable")[:limit]
    return chosen[order].astype(np.int32)
