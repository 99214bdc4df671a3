"""Fitting SASRec for User-Personalization v2. Items that hardly anybody used are known by content."""

from __future__ import annotations

import numpy as np

from recipes.components.cold_start import learn_content, predict_cold_vectors_from
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.network import SASRec
from recipes.models.sequential.fit import SequenceFitter
from recipes.models.sequential.score import SequenceScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["SASRecFitter"]


class SASRecFitter(SequenceFitter):
    """See `recipes.ports.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(self, config: SASRecConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        super().__init__(
            config,
            network=SASRec.of(config),
            weigh_recency=config.apply_recency_bias,
            seed=seed,
            progress=progress,
        )
        self._content: FloatArray | None = None

    def fit(self, data: TrainingData) -> SequenceScorer:
        """Learn from the data; the last items of the validation users are used to decide when to stop.

        Raises:
            InvalidInput: No user has two interactions.
        """
        return self._complete(super().fit(data), data)

    def extend(self, data: TrainingData) -> SequenceScorer:
        """Continue on all of the data, nothing held out, for a fixed number of epochs.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        return self._complete(super().extend(data), data)

    def _complete(self, scorer: SequenceScorer, data: TrainingData) -> SequenceScorer:
        """Tell the scorer of items that hardly anybody used, where columns say something of them."""
        if not data.items:
            return scorer
        if self._content is None:
            self._content = learn_content(data, seed=self._seed)
        uses = np.bincount(data.interactions.item, minlength=data.n_items)
        scorer.item_vectors = predict_cold_vectors_from(scorer, data, self._content, uses=uses, seed=self._seed)
        return scorer
