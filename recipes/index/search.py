"""Recommending for one history through an index: what repeats change, done without scoring the whole catalogue."""

from __future__ import annotations

import numpy as np

from recipes.index.interface import ItemIndex
from recipes.interface import FloatArray, ItemIndexes, Scorer

__all__ = ["recommend"]


def recommend(
    index: ItemIndex, scorer: Scorer, *, history: ItemIndexes, limit: int, query: FloatArray | None = None
) -> tuple[ItemIndexes, FloatArray]:
    """Find the best items for a history, repeats adjusted.

    Items of the history are scored one by one; of the others the index is asked for enough that none is missed.

    Args:
        index: Over the scorer's item vectors.
        scorer: Of the recipe.
        history: int32 [m], oldest first; unknown items are passed over.
        limit: Items wanted.
        query: The scorer's vector of this history when it is already at hand.

    Returns:
        item: int32 [k] and score: float32 [k], best first, equal scores by item.
    """
    if query is None:
        query = scorer.query(history)
    if scorer.repeat_bias == 0.0:
        return index.search(query, limit)
    own = np.unique(history[(history >= 0) & (history < len(scorer.item_vectors))])
    found, scores = index.search(query, limit + len(own))
    fresh = ~np.isin(found, own)
    own_scores = scorer.item_vectors[own] @ query + np.float32(scorer.repeat_bias)
    items = np.concatenate([found[fresh], own])
    all_scores = np.concatenate([scores[fresh], own_scores]).astype(np.float32, copy=False)
    order = np.lexsort((items, -all_scores))[:limit]
    return items[order].astype(np.int32, copy=False), all_scores[order]
