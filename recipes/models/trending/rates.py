"""How much items rise: the rate of the newest interval, estimated, less what was counted in the interval before.

A count of one interval is a poor estimate of a rate: most of the largest increases between two counts are luck, and
gone in the next interval. So the newest rate is estimated by the discount model of Poisson counts with a Gamma prior
(West, Harrison and Migon, "Dynamic Generalized Linear Models and Bayesian Forecasting", JASA 1985): what was counted k
intervals ago counts `0.5 ** (k / half_life)` as much as what is counted now, and the rate is the sum of the discounted
counts by that of the discounted time. An item that has interactions now and never had any rises; one that had a slow
interval and is as usual again rises less than its two counts say.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray

__all__ = ["DEPTH", "discounts", "trend_scores"]

#: Intervals that are looked at.
DEPTH: Final = 7


def discounts(half_life: float) -> NDArray[np.float64]:
    """Return how much each interval counts, the newest first: float64 [DEPTH].

    Args:
        half_life: In intervals; 0 lets nothing but the newest count.
    """
    ages = np.arange(DEPTH)
    return 0.5 ** (ages / half_life) if half_life > 0 else (ages == 0).astype(np.float64)


def trend_scores(counts: FloatArray, *, exposure: NDArray[np.float64], half_life: float) -> FloatArray:
    """Score items by how much they rise.

    Args:
        counts: float32 [DEPTH, n_items], interactions in each interval, the newest first.
        exposure: float64 [DEPTH], the share of each interval that has been seen: less than 1 for one that goes on, 0
            before the first interaction of all.
        half_life: See `discounts`.

    Returns:
        float32 [n_items]: interactions per interval that the newest rate is above the count of the interval before.
        Items that had no more interactions in the newest interval than in the one before come after all that had.
    """
    weights = discounts(half_life)
    before = counts[1] / exposure[1] if exposure[1] > 0 else np.zeros_like(counts[0])
    increase: FloatArray = ((weights @ counts) / (weights @ exposure) - before).astype(np.float32)
    rises = counts[0] / exposure[0] > before
    # Everything that rises is lifted above everything that does not, and the order within each is kept.
    lift = np.ptp(increase) + 1.0 if len(increase) else 0.0
    increase[rises] += lift
    return increase
