"""Recommending for one history through an index: what adjustments change, done without scoring the whole catalogue."""

from __future__ import annotations

import numpy as np

from recipes.data.histories import FloatArray, History, ItemIndexes
from recipes.ports import ItemScorer, ScoreDelta
from recipes.retrieval.interface import ItemIndex

__all__ = ["recommend", "search_adjusted"]


def recommend(
    index: ItemIndex, scorer: ItemScorer, *, history: History, limit: int, query: FloatArray | None = None
) -> tuple[ItemIndexes, FloatArray]:
    """Find the best items for a history, adjustments included.

    Items that are adjusted are scored one by one; of the others the index is asked for enough that none is missed.

    Args:
        index: Over the scorer's item vectors.
        scorer: Of the recipe.
        history: Items that the model does not know are passed over.
        limit: Items wanted.
        query: The scorer's vector of this history when it is already at hand.

    Returns:
        item: int32 [k] and score: float32 [k], best first, equal scores by item.
    """
    if query is None:
        query = scorer.embed_history(history)
    return search_adjusted(index, scorer.item_vectors, query=query, change=scorer.score_deltas(history), limit=limit)


def search_adjusted(
    index: ItemIndex, item_vectors: FloatArray, *, query: FloatArray, change: ScoreDelta, limit: int
) -> tuple[ItemIndexes, FloatArray]:
    """Find the best items for a history whose vector and adjustment are at hand; else as `recommend`.

    Args:
        index: Over the item vectors.
        item_vectors: float32 [n_items, d].
        query: float32 [d].
        change: The adjustment.
        limit: Items wanted.
    """
    if not len(change.items):
        return index.search(query, limit)
    # Only items that were lowered can push others out of the index's first places; items that were raised are scored.
    lowered = int((change.values < 0).sum())
    found, scores = index.search(query, limit + lowered)
    plain = ~np.isin(found, change.items)
    own_scores = item_vectors[change.items] @ query + change.values
    items = np.concatenate([found[plain], change.items])
    all_scores = np.concatenate([scores[plain], own_scores]).astype(np.float32, copy=False)
    order = np.lexsort((items, -all_scores))[:limit]
    return items[order].astype(np.int32, copy=False), all_scores[order]
