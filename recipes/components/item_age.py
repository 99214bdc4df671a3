"""When items came into being: what exploration, cold-start, freshness and the share of new items in lists go by.

An item is as old as its CREATION_TIMESTAMP says. Without one it is as old as its first use, which is Personalize's
rule. What has neither has no age of its own, and each caller says how old it shall be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.columns import NO_TIME
from recipes.data.histories import ItemIndexes, Timestamps
from recipes.data.training_data import TrainingData

__all__ = ["SECONDS_OF_A_DAY", "ItemAges", "creation_times"]

SECONDS_OF_A_DAY: Final = 86_400
_ARRAYS: Final = ("exploration_created", "exploration_seen", "exploration_latest")


@dataclass(frozen=True, slots=True)
class ItemAges:
    """What exploration must know of the items of an artifact.

    Attributes:
        created: int64 [n_items], seconds since 1970.
        seen: int64 [n_items], times that each was used or shown until the snapshot.
        latest: Time of the latest interaction.
    """

    created: NDArray[np.int64]
    seen: NDArray[np.int64]
    latest: int

    @classmethod
    def of(cls, data: TrainingData, shown: NDArray[np.int64]) -> Self:
        """Work out ages by Personalize's rule.

        An item without CREATION_TIMESTAMP is as old as its oldest interaction, and without one as the latest of all.

        Args:
            data: With interactions.
            shown: int64 [n_items], impressions of each item.
        """
        items, times = data.interactions.item, data.interactions.timestamp
        latest = int(times.max())
        created = creation_times(data, unused=latest)
        return cls(created, np.bincount(items, minlength=data.n_items) + shown, latest)

    def new_items(self, days: float) -> ItemIndexes:
        """Return the items that are at most so many days old, ascending; none where all are.

        Where every item is new, none is newer than the others.
        """
        young = np.flatnonzero(self.latest - self.created <= days * SECONDS_OF_A_DAY)
        return (young if len(young) < len(self.created) else young[:0]).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        save_arrays(folder, dict(zip(_ARRAYS, (self.created, self.seen, np.array(self.latest)), strict=True)))

    @classmethod
    def load(cls, folder: Path, *, n_items: int) -> Self:
        """Open what was saved.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        arrays = map_arrays(folder, _ARRAYS)
        created, seen, latest = (arrays[name] for name in _ARRAYS)
        if created.shape != (n_items,) or seen.shape != (n_items,) or latest.shape != ():
            raise CorruptArtifact(f"`exploration_created.npy`: got shape {created.shape}, want {n_items} items")
        return cls(created, seen, int(latest))


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
