"""Fitting Popularity-Count: the number of distinct users of each item, who count once however often they came back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.data.counts import users_per_item
from recipes.data.training_data import TrainingData
from recipes.models.popularity.config import PopularityConfig
from recipes.models.popularity.score import PopularityScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["PopularityFitter"]


class PopularityFitter:
    """Counts the distinct users of each item; a `recipes.ports.Fitter`. Nothing is random and nothing is held out.

    Args:
        config: Without hyperparameters.
        seed: Without effect.
        progress: Called once, at the end.
    """

    def __init__(self, config: PopularityConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress

    def fit(self, data: TrainingData) -> PopularityScorer:
        """Count the distinct users of each item."""
        users = users_per_item(data).astype(np.float32)
        self._progress(fraction=1.0, stage="counted", metrics={})
        return PopularityScorer(users[:, None])

    def extend(self, data: TrainingData) -> PopularityScorer:
        """Count the users of all items anew: that takes no longer than an update would."""
        return self.fit(data)
