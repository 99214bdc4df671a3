"""What metrics beyond Personalize's need of the items: how popular each is, and which are new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.components.item_age import creation_times
from recipes.data.columns import NO_TIME
from recipes.data.training_data import TrainingData

__all__ = ["STRATA", "ItemFacts", "describe_items", "new_items", "popularity_strata"]

#: Names of the strata of popularity, by number.
STRATA = ("head", "mid", "tail")
#: Share of the interactions that count as recent.
_NEWEST = 0.1


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """Popularity and novelty of the items of one catalogue.

    Attributes:
        strata: int8 [n_items], places in `STRATA`.
        new: bool [n_items], see `new_items`.
    """

    strata: NDArray[np.int8]
    new: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.strata)


def describe_items(data: TrainingData, *, learnt: TrainingData) -> ItemFacts:
    """Describe the items.

    Args:
        data: All data, the hidden interactions included.
        learnt: The part that models were fitted to; popularity is what they saw of it.
    """
    counts = np.bincount(learnt.interactions.item, minlength=data.n_items)
    return ItemFacts(popularity_strata(counts), new_items(data))


def popularity_strata(counts: NDArray[np.int64]) -> NDArray[np.int8]:
    """Cut the items, the most popular first, into three parts with a third of all interactions each.

    Recall by strata shows whether a model finds more than what everybody uses (Steck, "Item popularity and
    recommendation accuracy", RecSys 2011). Celma divides head, middle and tail along the curve of cumulated use
    ("Music recommendation and discovery", 2010, chapter 4); equal thirds of it are ours, because each stratum then has
    about as much to be found.

    Args:
        counts: int64 [n_items], interactions of each item.

    Returns:
        int8 [n_items], places in `STRATA`. An item belongs where the interactions of all items before it end; equally
        popular ones come by index; items without interactions are of the tail.
    """
    order = np.argsort(-counts, kind="stable")
    sorted_counts = counts[order]
    before = np.cumsum(sorted_counts) - sorted_counts
    thirds = np.minimum(3 * before // max(1, int(counts.sum())), len(STRATA) - 1)
    strata = np.empty(len(counts), np.int8)
    strata[order] = np.where(sorted_counts > 0, thirds, len(STRATA) - 1)
    return strata


def new_items(data: TrainingData) -> NDArray[np.bool_]:
    """Return which items appeared recently.

    Recently is after the moment that nine tenths of the interactions lie before. An item appeared at its
    CREATION_TIMESTAMP or, where there is none, when it was first used; an item with neither is not new.

    Returns:
        bool [n_items].
    """
    times = data.interactions.timestamp
    if not len(times):
        return np.zeros(data.n_items, bool)
    moment = np.quantile(times, 1.0 - _NEWEST, method="lower")
    is_new: NDArray[np.bool_] = creation_times(data, unused=NO_TIME) > moment
    return is_new
