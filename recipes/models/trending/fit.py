"""Fitting Trending-Now: counting, and choosing how far back the rates look by what the next interval showed.

The newest intervals are hidden for the measurement. Those before them decide about the half-life: at each, the items
that rise are listed by every candidate, and the one whose lists kept most of their increase an interval later wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import NO_TIME
from recipes.data.counts import users_per_item
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.trending.config import TrendingConfig
from recipes.models.trending.evaluation import Ages, by_trend, cuts, evaluate
from recipes.models.trending.rates import DEPTH, trend_scores
from recipes.models.trending.score import BUCKET_SECONDS, BulkCounts, TrendingScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["TrendingFitter"]

#: Half-lives to choose from, in intervals; 0 compares the two counts as they are.
_HALF_LIVES: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
#: The half-life where the data have no two intervals to learn from.
_DEFAULT_HALF_LIFE: Final = 2.0
#: Share of the intervals that are hidden for the measurement, and how many at most.
_HIDDEN_SHARE, _MOST_HIDDEN = 0.1, 24
#: Intervals before those that decide about the half-life at most.
_DECIDING: Final = 48


class TrendingFitter:
    """Fits the rates at which items are used; a `recipes.ports.Fitter`. Nothing is random.

    Args:
        config: The length of the intervals.
        seed: Without effect.
        progress: Called twice.
    """

    def __init__(self, config: TrendingConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._half_life = _DEFAULT_HALF_LIFE

    def fit(self, data: TrainingData) -> TrendingScorer:
        """Choose the half-life, and measure it and popularity on the newest intervals."""
        rows = data.interactions
        ages = self._ages(data)
        hidden = min(_MOST_HIDDEN, max(1, int(_HIDDEN_SHARE * ages.intervals)))
        self._half_life = _choose_half_life(ages, hidden)
        self._progress(fraction=0.5, stage="half-life chosen", metrics={"half_life": self._half_life})
        before = rows.timestamp.max(initial=NO_TIME) - rows.timestamp >= hidden * self._config.interval_seconds
        popularity = users_per_item(data.where(before)).astype(np.float32)
        accuracies = evaluate(
            cuts(ages, range(hidden - 1, -1, -1)),
            {"trend": by_trend(self._half_life), "popularity": lambda _: popularity},
        )
        self.report = {
            "half_life": self._half_life,
            "hidden_intervals": float(hidden),
            "trend_prediction_accuracy": accuracies["trend"].ratio,
            "popularity_trend_prediction_accuracy": accuracies["popularity"].ratio,
        }
        return self._scorer(data, ages)

    def extend(self, data: TrainingData) -> TrendingScorer:
        """Count again; the half-life stays."""
        return self._scorer(data, self._ages(data))

    def _ages(self, data: TrainingData) -> Ages:
        rows = data.interactions
        return Ages(rows.item, rows.timestamp, interval_seconds=self._config.interval_seconds, n_items=data.n_items)

    def _scorer(self, data: TrainingData, ages: Ages) -> TrendingScorer:
        rows = data.interactions
        trend = _trend(ages, half_life=self._half_life, n_items=data.n_items)
        scorer = TrendingScorer(
            item_vectors=np.stack([trend, users_per_item(data).astype(np.float32)], axis=1),
            bulk=_bulk_counts(data, seconds=DEPTH * self._config.interval_seconds),
            interval_seconds=self._config.interval_seconds,
            half_life=self._half_life,
            began=int(rows.timestamp.min()) if len(rows) else 0,
        )
        self._progress(fraction=1.0, stage="counted", metrics={})
        return scorer


def _choose_half_life(ages: Ages, hidden: int) -> float:
    """Return the half-life whose lists kept most of their increase in the intervals before the hidden ones."""
    # The oldest interval to decide by has two before it.
    oldest = min(hidden + _DECIDING, ages.intervals - 2)
    rankers = {str(candidate): by_trend(candidate) for candidate in _HALF_LIVES}
    accuracies = evaluate(cuts(ages, range(oldest - 1, hidden - 1, -1)), rankers)
    increases = [accuracies[name].increase for name in rankers]
    return _HALF_LIVES[int(np.argmax(increases))] if any(increases) else _DEFAULT_HALF_LIFE


def _trend(ages: Ages, *, half_life: float, n_items: int) -> FloatArray:
    """Return the trend of each item at the newest interaction: float32 [n_items]."""
    if not ages.intervals:
        return np.zeros(n_items, np.float32)
    counts = np.array([ages.counts(age) for age in range(DEPTH)])
    return trend_scores(counts, exposure=ages.exposure(0), half_life=half_life)


def _bulk_counts(data: TrainingData, *, seconds: int) -> BulkCounts:
    """Count what was imported, the newest `seconds` of it."""
    rows = data.interactions
    kept: NDArray[np.bool_] = rows.timestamp.max(initial=NO_TIME) - rows.timestamp < seconds
    if rows.streamed is not None:
        kept &= ~rows.streamed
    keys = rows.timestamp[kept] // BUCKET_SECONDS * data.n_items + rows.item[kept]
    places, counts = np.unique(keys, return_counts=True)
    return BulkCounts(places // data.n_items, (places % data.n_items).astype(np.int32), counts.astype(np.int32))
