"""Fitting the HRNN recipes by a GRU. Each class adds to the one before what its recipes learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recipes.components.item_features import ItemSide
from recipes.components.recency import choose_half_life, recent_uses
from recipes.data.columns import Columns
from recipes.data.counts import within_percentiles
from recipes.data.histories import FloatArray, Histories
from recipes.data.training_data import TrainingData
from recipes.models.gru.cold_items import cold_items
from recipes.models.gru.config import GRUColdstartConfig, GRUConfig
from recipes.models.gru.network import GRU
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.sequential.fit import SequenceFitter
from recipes.models.sequential.score import SequenceScorer
from recipes.ports import FitProgress, ignore_progress
from recipes.training.early_stopping import Validation

__all__ = ["GRUColdstartFitter", "GRUFitter", "GRUMetadataFitter", "GRUTextFitter"]

#: Coordinates of items' content.
_CONTENT_SIZE = 64


class GRUFitter(SequenceFitter):
    """Learns from interactions alone; see `recipes.ports.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(self, config: GRUConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        super().__init__(
            config,
            network=GRU.of(config),
            weigh_recency=config.recency_mask,
            seed=seed,
            progress=progress,
        )
        self._lengths = (config.min_user_history_length_percentile, config.max_user_history_length_percentile)
        self._half_life: float | None = None

    def fit(self, data: TrainingData) -> SequenceScorer:
        """Learn from users whose histories are neither too short nor too long.

        Raises:
            InvalidInput: None of them has two interactions.
        """
        return super().fit(self._within_lengths(data))

    def extend(self, data: TrainingData) -> SequenceScorer:
        """Continue on all of the data of such users.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        return super().extend(self._within_lengths(data))

    def _within_lengths(self, data: TrainingData) -> TrainingData:
        low, high = self._lengths
        kept = within_percentiles(data.histories().lengths(), low=low, high=high)
        return data.where(kept[data.interactions.user])

    def _uses(
        self, histories: Histories, worth: FloatArray, *, n_items: int, validation: Validation | None = None
    ) -> NDArray[np.float64]:
        if not self._weigh_recency:
            return super()._uses(histories, worth, n_items=n_items, validation=validation)
        if validation is not None:
            self._half_life = choose_half_life(histories, validation.targets, n_items=n_items)
        assert self._half_life is not None, "`fit` comes before `extend`"
        return recent_uses(histories, half_life=self._half_life, n_items=n_items)


class GRUMetadataFitter(GRUFitter):
    """Learns from the items' categories and numbers too."""

    def _item_side(self, data: TrainingData) -> ItemSide | None:
        columns = self._learnt_columns(data.items)
        if not columns:
            return None
        _, content = learn_vectors(columns, n_rows=data.n_items, size=_CONTENT_SIZE, seed=self._seed)
        return ItemSide(content, np.zeros(data.n_items, np.float32)) if content.shape[1] else None

    def _learnt_columns(self, items: Columns) -> Columns:
        """Return the columns of items to learn from."""
        return replace(items, textual={})


class GRUTextFitter(GRUMetadataFitter):
    """Learns from the items' texts too."""

    def _learnt_columns(self, items: Columns) -> Columns:
        return items


class GRUColdstartFitter(GRUMetadataFitter):
    """Recommends new items by their columns alone, as if they were used as much as others."""

    def __init__(self, config: GRUColdstartConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        super().__init__(config, seed=seed, progress=progress)
        self._coldstart = config

    def _item_side(self, data: TrainingData) -> ItemSide | None:
        side = super()._item_side(data)
        return None if side is None else side._replace(cold=cold_items(data, self._coldstart).astype(np.float32))

    def _uses(
        self, histories: Histories, worth: FloatArray, *, n_items: int, validation: Validation | None = None
    ) -> NDArray[np.float64]:
        uses = super()._uses(histories, worth, n_items=n_items, validation=validation)
        if self._items is None:
            return uses
        cold = self._items.cold > 0
        warm = uses[~cold & (uses > 0)]
        return np.where(cold, np.median(warm), uses) if len(warm) else uses
