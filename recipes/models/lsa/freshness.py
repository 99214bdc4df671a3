"""How new items are, between the oldest and the newest that a training has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.components.item_age import creation_times
from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData

__all__ = ["created_between", "freshness"]


def created_between(data: TrainingData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when each item was created, and the oldest and newest of all times.

    An item without a time of creation is as old as its oldest interaction, or new when it has none. Where nothing has a
    time, all are equally new.

    Returns:
        int64 [n_items] and int64 [2], seconds since 1970.
    """
    created = creation_times(data, unused=NO_TIME)
    newest = max(int(data.interactions.timestamp.max(initial=NO_TIME)), int(created.max(initial=NO_TIME)))
    created[created == NO_TIME] = newest
    return created, np.array([int(created.min(initial=newest)), newest], np.int64)


def freshness(created: NDArray[np.int64], ages: NDArray[np.int64]) -> FloatArray:
    """Return how new items are.

    Args:
        created: int64 [n], when they were created.
        ages: int64 [2], the times whose freshness is 0 and 1; what is older or newer has 0 or 1 too.

    Returns:
        float32 [n], 0 to 1.
    """
    oldest, newest = int(ages[0]), int(ages[1])
    return ((np.clip(created, oldest, newest) - oldest) / max(1, newest - oldest)).astype(np.float32)
