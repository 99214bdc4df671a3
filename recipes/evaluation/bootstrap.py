"""How certain metrics are: users are resampled many times, and the metrics computed each time.

The percentile bootstrap over users (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13; for
rankings Sakai, "Evaluating evaluation metrics based on the bootstrap", SIGIR 2006). It measures how much the choice of
test users matters, and nothing of how a model varies with its seed. Coverage has no interval: users drawn with repeats
are fewer different ones, so their lists always cover less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONFIDENCE", "SAMPLES", "Resampled", "difference_interval", "interval"]

SAMPLES = 2000
CONFIDENCE = 0.95
#: Drawn users held at once, 32 MiB of them.
_BATCH_DRAWS = 1 << 22


class Resampled(Protocol):
    """Metrics of m users who may be resampled: `metrics.UserValues`, or others that are no means over users.

    Attributes:
        names: The k metrics' names.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    def __len__(self) -> int: ...

    def values(self, counts: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the metrics, float64 [k] or [b, k]; see `metrics.UserValues.values`."""

    def counted(self) -> NDArray[np.int64]:
        """Return how many users count in each metric: int64 [k]."""


def interval(users: Resampled, *, seed: int, samples: int = SAMPLES) -> NDArray[np.float64]:
    """Return the 95 % intervals of all metrics.

    Args:
        users: Metrics of m users.
        seed: Decides which users are drawn: the same seed and number of users give the same draws.
        samples: How often to draw.

    Returns:
        float64 [2, k], low and high; NaN for a metric that no user counts in.
    """
    return _percentiles(_resampled(users, seed=seed, samples=samples))


def difference_interval(
    first: Resampled, second: Resampled, *, seed: int, samples: int = SAMPLES
) -> NDArray[np.float64]:
    """Return the 95 % intervals of `first` minus `second`, two models on the same users, who are drawn together.

    Drawing both by the same users takes out what is common to them: some users are easy for every model.

    Returns:
        float64 [2, k], low and high.
    """
    drawn = _resampled(first, seed=seed, samples=samples) - _resampled(second, seed=seed, samples=samples)
    return _percentiles(drawn)


def _resampled(users: Resampled, *, seed: int, samples: int) -> NDArray[np.float64]:
    """Return the metrics of each draw: float64 [samples, k]."""
    return np.concatenate([users.values(counts) for counts in _draws(len(users), seed=seed, samples=samples)])


def _draws(m: int, *, seed: int, samples: int) -> Iterator[NDArray[np.float64]]:
    """Draw m of m users with repeats, many times: float64 [some samples, m], how often each was drawn."""
    random = np.random.default_rng(seed)
    size = max(1, _BATCH_DRAWS // max(1, m))
    for begin in range(0, samples, size):
        rows = min(size, samples - begin)
        drawn = random.integers(m, size=(rows, m)) + np.arange(rows)[:, None] * m
        yield np.bincount(drawn.ravel(), minlength=rows * m).reshape(rows, m).astype(np.float64)


def _percentiles(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the intervals of drawn metrics, float64 [samples, k]: float64 [2, k], low and high."""
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    ends = np.full((2, drawn.shape[1]), np.nan)
    defined = ~np.isnan(drawn).all(axis=0)
    ends[:, defined] = np.nanpercentile(drawn[:, defined], tails, axis=0)
    return ends
