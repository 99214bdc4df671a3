"""Which items are cold: new ones that hardly anybody has used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import NO_TIME
from recipes.data.training_data import TrainingData
from recipes.models.gru.config import GRUColdstartConfig

__all__ = ["cold_items", "created"]

_DAY = 86_400.0


def cold_items(data: TrainingData, config: GRUColdstartConfig) -> NDArray[np.bool_]:
    """Say which items are cold: bool [n_items].

    A cold item has at most `cold_start_max_interactions`, and was created at most `cold_start_max_duration` days before
    the newest item, or, with `currentTime`, before the newest interaction: what is trained on the same data again must
    come out the same, so no clock is read.
    """
    interactions = data.interactions
    if not len(interactions):
        return np.zeros(data.n_items, bool)
    times = created(data)
    now = interactions.timestamp.max() if config.cold_start_relative_from == "currentTime" else times.max()
    young = now - times <= config.cold_start_max_duration * _DAY
    few = np.bincount(interactions.item, minlength=data.n_items) <= config.cold_start_max_interactions
    cold: NDArray[np.bool_] = young & few
    return cold


def created(data: TrainingData) -> NDArray[np.int64]:
    """Return when items were created: int64 [n_items], seconds.

    An item without a time of creation was created when it was first used, and one that was never used just now: at the
    time of the newest interaction.
    """
    interactions = data.interactions
    first = np.full(data.n_items, interactions.timestamp.max())
    np.minimum.at(first, interactions.item, interactions.timestamp)
    if data.items.created is None:
        return first
    return np.where(data.items.created != NO_TIME, data.items.created, first)
