"""Fitting Popularity-Count: counting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.popularity.config import PopularityConfig
from recipes.models.popularity.score import PopularityScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["PopularityFitter", "count_users"]


def count_users(data: TrainingData) -> FloatArray:
    """Count the distinct users of each item: float32 [n_items]."""
    pairs = np.unique(data.interactions.user.astype(np.int64) * data.n_items + data.interactions.item)
    users = np.bincount(pairs % data.n_items, minlength=data.n_items) if data.n_items else np.empty(0)
    return users.astype(np.float32)


class PopularityFitter:
    """See `recipes.ports.Fitter`; nothing is random and nothing is held out.

    Args:
        config: No hyperparameters.
        seed: Without effect.
        progress: Told once.
    """

    def __init__(self, config: PopularityConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress

    def fit(self, data: TrainingData) -> PopularityScorer:
        """Count the distinct users of each item."""
        users = count_users(data)
        self._progress(fraction=1.0, stage="counted", metrics={})
        return PopularityScorer(users[:, None])

    def extend(self, data: TrainingData) -> PopularityScorer:
        """Count again."""
        return self.fit(data)
