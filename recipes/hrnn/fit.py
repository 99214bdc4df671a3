"""Fitting the HRNN recipes; `recipes.sequence` says how. Each class adds to the one before what its recipes learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recipes.columns import Columns
from recipes.content.fit import learn_vectors
from recipes.hrnn.cold import cold_items
from recipes.hrnn.config import HrnnColdstartConfig, HrnnConfig
from recipes.hrnn.network import GatedRecurrentUnit
from recipes.interface import FitProgress, FloatArray, Histories, TrainingData, ignore_progress
from recipes.percentiles import within_percentiles
from recipes.sequence.fit import SequenceFitter
from recipes.sequence.items import ItemSide
from recipes.sequence.recent import choose_half_life, recent_uses
from recipes.sequence.score import SequenceScorer
from recipes.sequence.validation import Validation

__all__ = ["HrnnColdstartFitter", "HrnnFitter", "HrnnMetadataFitter", "HrnnTextFitter"]

#: Coordinates of items' content.
_CONTENT_SIZE = 64


class HrnnFitter(SequenceFitter):
    """Learns from interactions alone; see `recipes.interface.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(self, config: HrnnConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        super().__init__(
            config,
            network=GatedRecurrentUnit.of(config),
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


class HrnnMetadataFitter(HrnnFitter):
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


class HrnnTextFitter(HrnnMetadataFitter):
    """Learns from the items' texts too."""

    def _learnt_columns(self, items: Columns) -> Columns:
        return items


class HrnnColdstartFitter(HrnnMetadataFitter):
    """Recommends new items by their columns alone, as if they were used as much as others."""

    def __init__(self, config: HrnnColdstartConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
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
