"""How much time passed between two steps, as the network reads it: on a logarithmic scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP_BUCKETS", "gap_buckets"]

#: The last bucket holds gaps of 2^22 seconds (49 days) and more.
GAP_BUCKETS = 24


def gap_buckets(times: NDArray[np.int64]) -> NDArray[np.int32]:
    """Sort the time since the step before into buckets.

    Args:
        times: int64 [..., T], seconds, each row oldest first.

    Returns:
        int32 [..., T]: 0 for the first step and where no time passed, else 1 + floor(log2(seconds)), at most
        `GAP_BUCKETS` - 1.
    """
    gaps = np.maximum(np.diff(times, axis=-1, prepend=times[..., :1]), 0)
    # The exponent of a float64 is the floor of the logarithm plus 1, exact up to 2^53.
    return np.minimum(np.frexp(gaps.astype(np.float64))[1], GAP_BUCKETS - 1).astype(np.int32)
