"""Fitting SASRec for User-Personalization v2; items that hardly anybody used are known by their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recipes.components.cold_start import CONTENT_SIZE
from recipes.components.sequence_scorer import SequenceScorer
from recipes.data.training_data import TrainingData
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.network import SASRec
from recipes.ports import Checkpoints, FitProgress, LearntContent, ignore_progress
from recipes.training.sequence_model import SequenceModel, SequenceState, extend_sequence_model, fit_sequence_model

__all__ = ["SASRecFitter"]


class SASRecFitter:
    """Fits a SASRec network; implements `recipes.ports.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Receives a report of every epoch.
    """

    def __init__(self, config: SASRecConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._model = SequenceModel(
            SASRec.from_config(config), config, seed=seed, weighs_recency=config.apply_recency_bias
        )
        self._progress = progress
        self._state: SequenceState | None = None
        self._content: LearntContent | None = None

    def keep_checkpoints(self, checkpoints: Checkpoints) -> None:
        """Keep the state of the fit between its epochs there, and begin from what is there."""
        self._model = replace(self._model, checkpoints=checkpoints)

    def fit(self, data: TrainingData) -> SequenceScorer:
        """Learn from the data; the last items of the validation users are used to decide when to stop.

        Raises:
            InvalidInput: No user has two interactions.
        """
        self._state = fit_sequence_model(self._model, data, items=None, progress=self._progress)
        self.report = self._state.report
        return self._with_cold_items(self._state.scorer, data)

    def extend(self, data: TrainingData) -> SequenceScorer:
        """Continue on all of the data, nothing held out, for a fixed number of epochs.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        self._state = extend_sequence_model(self._model, self._state, data, progress=self._progress)
        return self._with_cold_items(self._state.scorer, data)

    def _with_cold_items(self, scorer: SequenceScorer, data: TrainingData) -> SequenceScorer:
        """Give items that hardly anybody used the vectors that their columns predict; see `components.cold_start`."""
        seed = self._model.seed
        if self._content is None and data.items:
            learnt = learn_vectors(data.items, n_rows=data.n_items, size=CONTENT_SIZE, seed=seed)
            self._content = LearntContent(*learnt)
        uses = np.bincount(data.interactions.item, minlength=data.n_items)
        return scorer.with_cold_items(data, self._content, uses=uses, seed=seed)
