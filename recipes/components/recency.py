"""What is popular now: older uses count less, by a half-life that held-out steps choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes, Timestamps

__all__ = ["choose_half_life", "popularity_features", "recent_uses", "share_newer"]

#: Shares of all interactions after which an older one counts half; the first counts all alike, for all that is needed.
_HALF_LIVES = (1e6, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)

#: Half-lives that tell of trends of some months, weeks and days where data span a year.
_TREND_HALF_LIVES = (0.2, 0.05, 0.01)
#: Share of an even share by which recent shares are smoothed: an item that was not used lately falls no further.
_SMOOTHING = 0.25


def popularity_features(histories: Histories, uses: NDArray[np.float64]) -> FloatArray:
    """Describe how popular items are and become.

    Args:
        histories: To count in.
        uses: float64 [n_items], how much each item is used.

    Returns:
        float32 [4, n_items]: the logarithm of the smoothed share of all uses, and, for three half-lives, that of the
        share of recent uses over the share of all: above 0 for what becomes popular, 0 where times are all equal.
    """
    n_items = len(uses)
    features = [np.log((uses + 0.5) / (uses.sum() + 0.5 * n_items))]
    newer = share_newer(histories.times) if len(histories.times) else np.empty(0)
    smoothing = _SMOOTHING / n_items
    always = np.bincount(histories.items, minlength=n_items) / max(1, len(newer)) + smoothing
    for half_life in _TREND_HALF_LIVES:
        weights = 0.5 ** (newer / half_life)
        recent = np.bincount(histories.items, weights=weights, minlength=n_items) / max(1.0, weights.sum()) + smoothing
        features.append(np.log(recent / always))
    return np.stack(features).astype(np.float32)


def recent_uses(histories: Histories, *, half_life: float, n_items: int) -> NDArray[np.float64]:
    """Count uses, half of the total by their age: float64 [n_items].

    The other half counts all uses alike. So what is popular now rises far, and what was popular before, such as that
    which users begin with, sinks little.

    Args:
        histories: To count in.
        half_life: Share of all interactions that must be newer than one for it to count half.
        n_items: Items of the catalogue.
    """
    weights = 0.5 ** (share_newer(histories.times) / half_life)
    weights = 0.5 + 0.5 * weights / weights.mean()
    return np.bincount(histories.items, weights=weights, minlength=n_items).astype(np.float64)


def choose_half_life(histories: Histories, targets: ItemIndexes, *, n_items: int) -> float:
    """Choose the half-life under which recent uses make held-out items most likely.

    Args:
        histories: Without the held-out steps; not empty.
        targets: int32 [m], the held-out items.
        n_items: Items of the catalogue.
    """
    likelihoods = []
    for half_life in _HALF_LIVES:
        uses = recent_uses(histories, half_life=half_life, n_items=n_items)
        likelihoods.append(float(np.log(uses[targets] + 0.5).mean()))  # the totals are all the same
    return _HALF_LIVES[int(np.argmax(likelihoods))]


def share_newer(times: Timestamps) -> NDArray[np.float64]:
    """Return which share of all interactions is newer than each: 0 for the newest, and for all where times are equal.

    Args:
        times: int64 [n], n above 0.
    """
    newer: NDArray[np.int64] = len(times) - np.searchsorted(np.sort(times), times, side="right")
    return newer / len(times)
