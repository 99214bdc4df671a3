"""Which items are cold: new ones that hardly anybody has used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.components.item_age import creation_times
from recipes.data.training_data import TrainingData
from recipes.models.gru.config import GRUColdstartConfig

__all__ = ["cold_items"]

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
    latest = interactions.timestamp.max()
    times = creation_times(data, unused=int(latest))
    now = latest if config.cold_start_relative_from == "currentTime" else times.max()
    young = now - times <= config.cold_start_max_duration * _DAY
    few = np.bincount(interactions.item, minlength=data.n_items) <= config.cold_start_max_interactions
    cold: NDArray[np.bool_] = young & few
    return cold
