"""Metrics of ranked lists: Personalize's eight keys as Personalize defines them, and the literature's for comparison.

Personalize's NDCG differs from the literature's: the ideal list that a user's gain is divided by holds the hits that
were made, not all relevant items, so a list with one hit at the top earns 1 however many items it missed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recipes.interface import Histories, ItemIndexes

__all__ = ["LIST_LENGTH", "hit_rate", "ndcg", "personalize_metrics", "published"]

#: Length of the lists that Personalize evaluates.
LIST_LENGTH = 25
_CUTS = (5, 10, 25)


def personalize_metrics(recommended: ItemIndexes, *, relevant: Histories, n_items: int) -> dict[str, float]:
    """Work out Personalize's metrics of item recipes.

    Args:
        recommended: int32 [m, up to 25], the list of each test user, best first.
        relevant: The hidden items of the same users; an item counts once.
        n_items: Items of the catalogue.

    Returns:
        `coverage`, `mean_reciprocal_rank_at_25`, and `normalized_discounted_cumulative_gain_at_` and `precision_at_`
        for 5, 10 and 25.
    """
    hits = np.zeros((len(recommended), LIST_LENGTH), bool)
    for row, items in enumerate(recommended):
        hits[row, : len(items)] = np.isin(items, relevant.of(row).items)
    found = hits.any(axis=1)
    first = np.where(found, hits.argmax(axis=1) + 1, np.inf)
    values = {
        "coverage": len(np.unique(recommended)) / n_items,
        "mean_reciprocal_rank_at_25": float((1.0 / first).mean()),
    }
    discounts = 1.0 / np.log2(np.arange(2, LIST_LENGTH + 2))
    ideals = np.concatenate([[1.0], np.cumsum(discounts)])  # by number of hits; none is divided by 1 and stays 0
    for cut in _CUTS:
        made = hits[:, :cut]
        gains = made @ discounts[:cut] / ideals[made.sum(axis=1)]
        values[f"normalized_discounted_cumulative_gain_at_{cut}"] = float(gains.mean())
    for cut in _CUTS:
        values[f"precision_at_{cut}"] = float(hits[:, :cut].sum(axis=1).mean() / cut)
    return values


def published(values: Mapping[str, float]) -> dict[str, float]:
    """Round metrics to the four decimals that Personalize shows."""
    return {name: round(value, 4) for name, value in values.items()}


def hit_rate(ranks: NDArray[np.int64], limit: int) -> float:
    """Share of targets ranked 1 to `limit`: HR@k, which is recall@k when every user has one target."""
    return float((ranks <= limit).mean())


def ndcg(ranks: NDArray[np.int64], limit: int) -> float:
    """Normalised discounted cumulative gain of one target a user: the mean of 1 / log2(1 + rank) up to `limit`."""
    return float(np.where(ranks <= limit, 1.0 / np.log2(1.0 + ranks), 0.0).mean())
