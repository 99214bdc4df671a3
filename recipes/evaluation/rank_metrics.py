"""Metrics of one target for each user, by the rank that a full ranking gives it; fits stop by them too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray

__all__ = ["hit_rate", "ndcg"]


def hit_rate(ranks: NDArray[np.int64], limit: int, *, weights: FloatArray | None = None) -> float:
    """Share of targets ranked 1 to `limit`: HR@k, which is recall@k when every user has one target.

    Args:
        ranks: int64 [m], from 1.
        limit: k.
        weights: float32 [m], how much each counts, not all 0; None for 1.
    """
    return _mean((ranks <= limit).astype(np.float64), weights)


def ndcg(ranks: NDArray[np.int64], limit: int, *, weights: FloatArray | None = None) -> float:
    """Normalised discounted cumulative gain of one target a user (Järvelin and Kekäläinen, TOIS 2002).

    Args:
        ranks: int64 [m], from 1.
        limit: k.
        weights: float32 [m], how much each counts, not all 0; None for 1.

    Returns:
        The mean of 1 / log2(1 + rank) up to `limit`, 0 to 1: the ideal gain of a single target is 1.
    """
    return _mean(np.where(ranks <= limit, 1.0 / np.log2(1.0 + ranks), 0.0), weights)


def _mean(values: NDArray[np.float64], weights: FloatArray | None) -> float:
    if weights is None:
        return float(values.mean())
    mass = weights.astype(np.float64)
    return float((values * mass).sum() / mass.sum())
