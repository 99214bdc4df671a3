"""When items came into being: what exploration, cold-start, freshness and the share of new items in lists go by.

An item is as old as its CREATION_TIMESTAMP says. Without one it is as old as its first use, which is Personalize's
rule. What has neither has no age of its own, and each caller says how old it shall be.
"""

from __future__ import annotations

import numpy as np

from recipes.data.columns import NO_TIME
from recipes.data.histories import Timestamps
from recipes.data.training_data import TrainingData

__all__ = ["creation_times"]


def creation_times(data: TrainingData, *, unused: int) -> Timestamps:
    """Return when each item was created or, where that is not known, first used: int64 [n_items], seconds since 1970.

    Args:
        data: Items with their `created` times, if any, and interactions, perhaps none.
        unused: The time of items that were neither created at a known time nor ever used; `NO_TIME` to tell them apart.
    """
    never = np.iinfo(np.int64).max
    first_use = np.full(data.n_items, never)
    np.minimum.at(first_use, data.interactions.item, data.interactions.timestamp)
    first_use[first_use == never] = unused
    if data.items.created is None:
        return first_use
    return np.where(data.items.created != NO_TIME, data.items.created, first_use)
