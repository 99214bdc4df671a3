"""Lists of items with their scores, and the ranking of items that the caller gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, ItemIndexes
from recipes.ports import ScoreDelta

__all__ = ["ScoredItems", "rank"]


@dataclass(frozen=True, slots=True)
class ScoredItems:
    """The best items.

    Attributes:
        items: int32 [k], best first.
        scores: float32 [k], the share of each in the softmax over everything that was scored.
        explored: bool [k], which items were put into the place of another to be explored, so that scores say nothing of
            them; None for none.
    """

    items: ItemIndexes
    scores: FloatArray
    explored: NDArray[np.bool_] | None = None


def rank(item_vectors: FloatArray, items: ItemIndexes, *, query: FloatArray, change: ScoreDelta) -> ScoredItems:
    """Put given items into order; the softmax runs over them alone.

    Args:
        item_vectors: float32 [n_items, d].
        items: int32 [k], all different, at least one. Equal scores stay in the given order.
        query: float32 [d], the scorer's vector of the history.
        change: The scorer's adjustment for the history.
    """
    scores: FloatArray = item_vectors[items] @ query
    _, own, changed = np.intersect1d(items, change.items, assume_unique=True, return_indices=True)
    scores[own] += change.values[changed]
    order = np.argsort(-scores, kind="stable")
    shares = np.exp(scores[order] - scores[order[0]])
    return ScoredItems(items[order], shares / shares.sum())
