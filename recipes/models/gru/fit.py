"""Fitting the HRNN recipes by a GRU. They differ in which columns of items are learnt from, and in what is cold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recipes.components.cold_start import CONTENT_SIZE
from recipes.components.item_age import creation_times
from recipes.components.item_features import ItemFeatures
from recipes.components.new_items import learn_encoder
from recipes.components.sequence_scorer import SequenceScorer
from recipes.data.columns import Columns
from recipes.data.counts import within_percentiles
from recipes.data.training_data import TrainingData
from recipes.models.gru.config import GRUColdstartConfig, GRUConfig
from recipes.models.gru.network import GRU
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import Checkpoints, FitProgress, LearntContent, ignore_progress
from recipes.training.sequence_model import SequenceModel, SequenceState, extend_sequence_model, fit_sequence_model

__all__ = ["GRUFitter", "cold_items", "make_coldstart_fitter", "make_metadata_fitter", "make_text_fitter"]

_DAY = 86_400.0


class GRUFitter:
    """Fits a GRU; implements `recipes.ports.Fitter`. Without further arguments it learns from interactions alone.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Receives a report of every epoch.
        item_columns: Chooses the columns of items to learn from; None for none.
        cold_items: Says which items are cold, bool [n_items]: recommended by their columns alone, as if they were used
            as much as others; None where none is.
    """

    def __init__(
        self,
        config: GRUConfig,
        *,
        seed: int,
        progress: FitProgress = ignore_progress,
        item_columns: Callable[[Columns], Columns] | None = None,
        cold_items: Callable[[TrainingData], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._model = SequenceModel(
            GRU.from_config(config),
            config,
            seed=seed,
            weighs_recency=config.recency_mask,
            counts_recent_uses=config.recency_mask,
        )
        self._progress = progress
        self._item_columns = item_columns
        self._cold_items = cold_items
        self._state: SequenceState | None = None
        self._content: LearntContent | None = None

    def keep_checkpoints(self, checkpoints: Checkpoints) -> None:
        """Keep the state of the fit between its epochs there, and begin from what is there."""
        self._model = replace(self._model, checkpoints=checkpoints)

    def fit(self, data: TrainingData) -> SequenceScorer:
        """Learn from users whose histories are neither too short nor too long.

        Raises:
            InvalidInput: None of them has two interactions.
        """
        learnt = self._within_lengths(data)
        items = self._item_features(learnt)
        self._state = fit_sequence_model(self._model, learnt, items=items, progress=self._progress)
        self.report = self._state.report
        return self._with_encoder(self._state.scorer, learnt)

    def extend(self, data: TrainingData) -> SequenceScorer:
        """Continue on all of the data of such users.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        learnt = self._within_lengths(data)
        self._state = extend_sequence_model(self._model, self._state, learnt, progress=self._progress)
        return self._with_encoder(self._state.scorer, learnt)

    def _within_lengths(self, data: TrainingData) -> TrainingData:
        """Leave out the users with unusually short and long histories."""
        kept = within_percentiles(
            data.histories().lengths(),
            low=self._config.min_user_history_length_percentile,
            high=self._config.max_user_history_length_percentile,
        )
        return data.where(kept[data.interactions.user])

    def _item_features(self, data: TrainingData) -> ItemFeatures | None:
        """Return the vectors of the items' columns, and which items are cold; None where columns say nothing."""
        if self._item_columns is None:
            return None
        columns = self._item_columns(data.items)
        if not columns:
            return None
        self._content = LearntContent(
            *learn_vectors(columns, n_rows=data.n_items, size=CONTENT_SIZE, seed=self._model.seed)
        )
        content = self._content.vectors
        if not content.shape[1]:
            return None
        cold = np.zeros(data.n_items, bool) if self._cold_items is None else self._cold_items(data)
        return ItemFeatures(content, cold.astype(np.float32))

    def _with_encoder(self, scorer: SequenceScorer, data: TrainingData) -> SequenceScorer:
        """Let items that come after the training be known by their columns, where the recipe learns from columns.

        The items' own vectors contain what columns say, so those of cold items are as they should be.
        """
        if self._item_columns is None:
            return scorer
        uses = np.bincount(data.interactions.item, minlength=data.n_items)
        return scorer.with_encoder(learn_encoder(scorer, data, self._content, uses=uses, seed=self._model.seed))


def make_metadata_fitter(config: GRUConfig, *, seed: int, progress: FitProgress = ignore_progress) -> GRUFitter:
    """Make a fitter that learns from the items' categories and numbers too."""
    return GRUFitter(config, seed=seed, progress=progress, item_columns=_without_texts)


def make_text_fitter(config: GRUConfig, *, seed: int, progress: FitProgress = ignore_progress) -> GRUFitter:
    """Make a fitter that learns from the items' categories, numbers and texts too."""
    return GRUFitter(config, seed=seed, progress=progress, item_columns=lambda columns: columns)


def make_coldstart_fitter(
    config: GRUColdstartConfig, *, seed: int, progress: FitProgress = ignore_progress
) -> GRUFitter:
    """Make a fitter that learns from categories and numbers, and recommends cold items by them alone."""
    return GRUFitter(
        config,
        seed=seed,
        progress=progress,
        item_columns=_without_texts,
        cold_items=partial(cold_items, config=config),
    )


def cold_items(data: TrainingData, config: GRUColdstartConfig) -> NDArray[np.bool_]:
    """Say which items are cold: bool [n_items].

    A cold item has at most `cold_start_max_interactions`, and was created at most `cold_start_max_duration` days before
    the newest item, or, with `currentTime`, before the newest interaction: what is trained on the same data again must
    come out the same, so no clock is read.
    """
    interactions = data.interactions
    if not len(interactions):
        return np.zeros(data.n_items, bool)
    latest = interactions.timestamp.max()
    times = creation_times(data, unused=int(latest))
    now = latest if config.cold_start_relative_from == "currentTime" else times.max()
    is_young = now - times <= config.cold_start_max_duration * _DAY
    is_little_used = np.bincount(interactions.item, minlength=data.n_items) <= config.cold_start_max_interactions
    cold: NDArray[np.bool_] = is_young & is_little_used
    return cold


def _without_texts(columns: Columns) -> Columns:
    return replace(columns, textual={})
