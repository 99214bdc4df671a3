"""Exploration: how new items get a chance before anybody has used them.

An item is new when it was created within so many days before the latest interaction of the data. As Personalize
describes it, a new item gets a bonus that falls with the number of times that it was used or shown, plus a little
noise. How much a bonus is worth is not told; here a weight of 1 lifts a new item that nobody has seen from where new
items lie to where the best item of a typical user lies, and others by that divided by the root of 1 + the times seen,
as upper confidence bounds do (Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem",
Machine Learning 2002).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.components.item_age import creation_times
from recipes.data.arrays import map_arrays, save_arrays
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.data.training_data import TrainingData

__all__ = ["ItemAges", "bonuses", "reach"]

_SECONDS_OF_A_DAY = 86_400
_ARRAYS = ("exploration_created", "exploration_seen", "exploration_latest")


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
        young = np.flatnonzero(self.latest - self.created <= days * _SECONDS_OF_A_DAY)
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


def reach(scores: Iterable[FloatArray], new: ItemIndexes) -> float:
    """Return how far new items lie behind the best, in scores: the median over some users.

    Args:
        scores: float32 [n_items] of each user, at least one.
        new: int32 [k], at least one.
    """
    return float(np.median([float(of_user.max() - np.median(of_user[new])) for of_user in scores]))


def bonuses(seen: NDArray[np.int64], *, weight: float, reach: float) -> FloatArray:
    """Return what is added to the scores of new items: float32 [k].

    Args:
        seen: int64 [k], times that each was used or shown.
        weight: 0 to 1.
        reach: From `reach`.
    """
    found: FloatArray = (weight * reach / np.sqrt(1.0 + seen)).astype(np.float32)
    return found
