"""Fitting User-Personalization v2; `recipes.sequence` says how. Items that hardly anybody used are known by content."""

from __future__ import annotations

import numpy as np

from recipes.interface import FitProgress, FloatArray, TrainingData, ignore_progress
from recipes.sequence.cold import foretell_from, learn_content
from recipes.sequence.fit import SequenceFitter
from recipes.sequence.score import SequenceScorer
from recipes.user_personalization.config import UserPersonalizationConfig
from recipes.user_personalization.network import Transformer

__all__ = ["UserPersonalizationFitter"]


class UserPersonalizationFitter(SequenceFitter):
    """See `recipes.interface.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(
        self, config: UserPersonalizationConfig, *, seed: int, progress: FitProgress = ignore_progress
    ) -> None:
        super().__init__(
            config,
            network=Transformer.of(config),
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
        scorer.item_vectors = foretell_from(scorer, data, self._content, uses=uses, seed=self._seed)
        return scorer
