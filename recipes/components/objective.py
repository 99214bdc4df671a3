"""An objective besides relevance: items of a higher value in a column rank higher, by as much as the solution says.

The score of an item becomes s + m * d * z. z is the item's value as a standard normal score by its rank in the
catalogue, so that neither the unit nor a few outliers matter; d is the spread of relevance, the standard deviation of a
typical user's scores over the catalogue. So relevance and objective are put on one scale (fusion of standardised
scores), and m says how they share the emphasis: 1 gives both the same, 1/3 gives relevance three quarters of it, 3 the
objective. Personalize documents no more than that MEDIUM is equal emphasis, and that higher values rank higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from recipes.data.histories import FloatArray

__all__ = ["EMPHASIS", "average_rewards", "normal_scores", "objective_biases", "spread"]

#: m by `objectiveSensitivity`.
EMPHASIS: Final[Mapping[str, float]] = {"OFF": 0.0, "LOW": 1.0 / 3.0, "MEDIUM": 1.0, "HIGH": 3.0}
#: How many of the most rewarding recommendations of a user count.
_MOST_REWARDING = 25


def normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as normal scores by their ranks: float64 [n].

    Blom's: the quantile of the standard normal distribution at (rank - 3/8) / (n + 1/4); equal values share the mean of
    their ranks.

    Args:
        values: float64 [n]; NaN where there is none, which scores 0.
    """
    given = np.flatnonzero(~np.isnan(values))
    _, inverse, counts = np.unique(values[given], return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    scores = np.zeros(len(values))
    scores[given] = ndtri((ranks[inverse] - 0.375) / (len(given) + 0.25))
    return scores


def spread(item_vectors: FloatArray, queries: FloatArray) -> float:
    """Return the spread of relevance: the median, over users, of the standard deviation of the catalogue's scores.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d], embeddings of some users, at least one.
    """
    return float(np.median([float((item_vectors @ query).std()) for query in queries]))


def objective_biases(values: NDArray[np.float64], *, sensitivity: str, spread: float) -> FloatArray:
    """Return what is added to each item's scores: float32 [n_items].

    Args:
        values: float64 [n_items], the column; NaN where there is none.
        sensitivity: OFF, LOW, MEDIUM or HIGH.
        spread: The spread of relevance, see `spread`.
    """
    biases: FloatArray = (EMPHASIS[sensitivity] * spread * normal_scores(values)).astype(np.float32)
    return biases


def average_rewards(
    recommended: NDArray[np.int32], hidden: list[NDArray[np.int32]], values: NDArray[np.float64]
) -> float:
    """Return Personalize's `average_rewards_at_k`.

    For each user: the rewards of what the user did use among the 25 most rewarding recommendations, as a share of the
    rewards of everything that was both recommended and used. The mean is over users who used something recommended.

    Args:
        recommended: int32 [m, k], the recommendations of each user, more than 25 of them.
        hidden: What each user used.
        values: float64 [n_items], the rewards; missing and negative ones count as 0.

    Returns:
        0 to 1; 0 where no user used anything recommended that rewards.
    """
    rewards = np.maximum(np.nan_to_num(values), 0.0)
    shares = []
    for items, used in zip(recommended, hidden, strict=True):
        hit_rewards = np.where(np.isin(items, used), rewards[items], 0.0)
        if hit_rewards.sum() > 0.0:
            highest = np.argsort(-rewards[items], kind="stable")[:_MOST_REWARDING]
            shares.append(float(hit_rewards[highest].sum() / hit_rewards.sum()))
    return float(np.mean(shares)) if shares else 0.0
