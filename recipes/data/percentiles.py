"""Leaving out what is used unusually little or much, by percentiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["within_percentiles"]


def within_percentiles(counts: NDArray[np.int64], *, low: float, high: float) -> NDArray[np.bool_]:
    """Say which counts lie within two percentiles of those above 0, both included.

    A percentile between two counts is the outer one, so that few users or items are not cut for want of a better one.

    Args:
        counts: int64 [n], of users or of items.
        low: Share of those above 0 that lie below the least count that is kept, 0 to 1.
        high: Share of those above 0 that lie up to the greatest count that is kept, 0 to 1.
    """
    used = counts[counts > 0]
    if not len(used):
        return counts > 0
    least, most = np.quantile(used, low, method="lower"), np.quantile(used, high, method="higher")
    inside: NDArray[np.bool_] = (counts >= least) & (counts <= most)
    return inside
