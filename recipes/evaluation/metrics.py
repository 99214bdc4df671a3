"""Metrics of ranked lists: Personalize's eight keys as Personalize defines them, and the literature's for comparison.

Personalize's NDCG differs from the literature's: the ideal list that a user's gain is divided by holds the hits that
were made, not all relevant items, so a list with one hit at the top gets 1 however many items it missed. Both are
computed; `docs/evaluation.md` says what each is good for. All metrics but coverage are kept user by user, so that
users can be resampled (`bootstrap`) and models compared on the same users (`paired_tests`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.items import STRATA, ItemFacts
from recipes.evaluation.ranking import coverage

__all__ = [
    "LIST_LENGTH", "Hits", "UserValues", "find_hits", "further_values", "personalize_metrics",
    "personalize_values", "published", "weighted_values",
]  # fmt: skip

#: Length of the lists that Personalize evaluates.
LIST_LENGTH = 25
_CUTS = (5, 10, 25)
_DISCOUNTS = 1.0 / np.log2(np.arange(2, LIST_LENGTH + 2))
#: Greatest gain by number of hits; none is divided by 1 and stays 0.
_IDEALS = np.concatenate([[1.0], np.cumsum(_DISCOUNTS)])


@dataclass(frozen=True, slots=True)
class UserValues:
    """Metrics user by user: each is the sum of its gains over the sum of its weights.

    Attributes:
        names: The k metrics' names, in the order of the columns.
        gains: float64 [m, k], what each of m users adds to each metric.
        weights: float64 [m, k]; 1 where a user counts, 0 where a metric is not defined for the user.
    """

    names: tuple[str, ...]
    gains: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.gains)

    def values(self, counts: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the metrics of all users together, or of resampled users.

        Args:
            counts: float64 [b, m], how often each user counts; None counts each once.

        Returns:
            float64 [k], or [b, k] with counts; NaN where no user counts.
        """
        gains = self.gains.sum(axis=0) if counts is None else counts @ self.gains
        weights = self.weights.sum(axis=0) if counts is None else counts @ self.weights
        empty = np.full_like(gains, np.nan)
        divided: NDArray[np.float64] = np.divide(gains, weights, out=empty, where=weights > 0)
        return divided

    def named(self) -> dict[str, float]:
        """Return the metrics by name, without those that no user counts in."""
        pairs = zip(self.names, self.values().tolist(), strict=True)
        return {name: value for name, value in pairs if not np.isnan(value)}

    def counted(self) -> NDArray[np.int64]:
        """Return how many users count in each metric: int64 [k]."""
        counted: NDArray[np.int64] = (self.weights > 0).sum(axis=0)
        return counted

    def where(self, kept: NDArray[np.bool_]) -> UserValues:
        """Return the users where `kept`, bool [m], is true."""
        return UserValues(self.names, self.gains[kept], self.weights[kept])

    def take(self, rows: NDArray[np.int64]) -> UserValues:
        """Return the users at some places, int64 [n], in that order."""
        return UserValues(self.names, self.gains[rows], self.weights[rows])

    def joined(self, other: UserValues) -> UserValues:
        """Return these metrics and, after them, those of `other` for the same m users."""
        return UserValues(
            (*self.names, *other.names),
            np.hstack([self.gains, other.gains]),
            np.hstack([self.weights, other.weights]),
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """Which places of the lists hold a relevant item.

    Attributes:
        made: bool [m, LIST_LENGTH], by user and place in the list.
        relevant: int64 [m], distinct relevant items of each user.
        of_strata: int64 [m, 3], hits by stratum of the item; see `items.STRATA`.
        relevant_of_strata: int64 [m, 3], distinct relevant items by stratum.
    """

    made: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    of_strata: NDArray[np.int64]
    relevant_of_strata: NDArray[np.int64]


def find_hits(recommended: ItemIndexes, *, relevant: Histories, strata: NDArray[np.int8]) -> Hits:
    """Look the relevant items up in the lists.

    Args:
        recommended: int32 [m, up to LIST_LENGTH], the list of each user, best first, no item twice; -1 is no item.
        relevant: The hidden items of the same users; an item counts once.
        strata: int8 [n_items], the stratum of each item.
    """
    n_items, m = len(strata), len(recommended)
    pairs = np.unique(relevant.owners() * n_items + relevant.items)
    owners, items = pairs // n_items, pairs % n_items
    listed = np.arange(m)[:, None] * n_items + recommended
    made = np.zeros((m, LIST_LENGTH), bool)
    made[:, : recommended.shape[1]] = np.isin(listed, pairs) & (recommended >= 0)
    rows, places = made.nonzero()
    kinds = len(STRATA)
    return Hits(
        made,
        np.bincount(owners, minlength=m),
        np.bincount(rows * kinds + strata[recommended[rows, places]], minlength=m * kinds).reshape(m, kinds),
        np.bincount(owners * kinds + strata[items], minlength=m * kinds).reshape(m, kinds),
    )


def personalize_values(hits: Hits) -> UserValues:
    """Return Personalize's metrics of item recipes, without coverage; see its guide, "Evaluating a solution version".

    With h_p = 1 for a hit at place p: `mean_reciprocal_rank_at_25` is 1 / p of the first hit, `precision_at_k` the hits
    up to k over k, and `normalized_discounted_cumulative_gain_at_k` the sum of h_p / log2(1 + p) up to k over the same
    sum for a list that begins with as many hits.
    """
    made = hits.made
    metrics: dict[str, NDArray[np.float64]] = {
        "mean_reciprocal_rank_at_25": np.where(made.any(axis=1), 1.0 / (made.argmax(axis=1) + 1), 0.0)
    }
    for cut in _CUTS:
        gains = made[:, :cut] @ _DISCOUNTS[:cut]
        metrics[f"normalized_discounted_cumulative_gain_at_{cut}"] = gains / _IDEALS[made[:, :cut].sum(axis=1)]
    for cut in _CUTS:
        metrics[f"precision_at_{cut}"] = made[:, :cut].sum(axis=1) / cut
    return _means(metrics, counted=hits.relevant > 0)


def further_values(hits: Hits, *, recommended: ItemIndexes, facts: ItemFacts) -> UserValues:
    """Return the metrics that Personalize does not publish.

    - `standard_normalized_discounted_cumulative_gain_at_k`: the gain over that of a list that begins with
      min(k, relevant) hits (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002).
    - `recall_at_k`: hits up to k over the user's relevant items.
    - `recall_at_25_of_head_items`, `_of_mid_items`, `_of_tail_items`: the same of the relevant items of one stratum of
      popularity, averaged over the users who have some (see `items.popularity_strata`).
    - `new_item_share`: share of the places in the list that hold a new item (see `items.new_items`).
    """
    counted = hits.relevant > 0
    relevant = np.maximum(hits.relevant, 1)
    metrics: dict[str, NDArray[np.float64]] = {}
    for cut in _CUTS:
        gains = hits.made[:, :cut] @ _DISCOUNTS[:cut]
        metrics[f"standard_normalized_discounted_cumulative_gain_at_{cut}"] = gains / _IDEALS[np.minimum(relevant, cut)]
    for cut in _CUTS:
        metrics[f"recall_at_{cut}"] = hits.made[:, :cut].sum(axis=1) / relevant
    values = _means(metrics, counted=counted)
    defined = hits.relevant_of_strata > 0
    by_strata = np.where(defined, hits.of_strata / np.maximum(hits.relevant_of_strata, 1), 0.0)
    values = values.joined(
        UserValues(tuple(f"recall_at_25_of_{name}_items" for name in STRATA), by_strata, defined.astype(np.float64))
    )
    filled = recommended >= 0
    share = (facts.new[recommended] & filled).sum(axis=1) / np.maximum(filled.sum(axis=1), 1)
    return values.joined(_means({"new_item_share": share}, counted=counted))


def personalize_metrics(
    recommended: ItemIndexes, *, relevant: Histories, n_items: int, event_weights: FloatArray | None = None
) -> dict[str, float]:
    """Return Personalize's metrics of item recipes by name.

    Args:
        recommended: int32 [m, up to 25], the list of each test user, best first.
        relevant: The hidden items of the same users; an item counts once.
        n_items: Items of the catalogue.
        event_weights: float32 [event types + 1], what a hit is worth by the event type of the hidden interaction, the
            best where an item has several; configured weights with a mean of 1. None for solutions without them.

    Returns:
        `coverage`, `mean_reciprocal_rank_at_25`, and `normalized_discounted_cumulative_gain_at_` and `precision_at_`
        for 5, 10 and 25; with event weights `normalized_discounted_cumulative_gain_with_event_weights_at_` too.
    """
    hits = find_hits(recommended, relevant=relevant, strata=np.zeros(n_items, np.int8))
    values = personalize_values(hits)
    if event_weights is not None:
        values = values.joined(weighted_values(recommended, relevant=relevant, event_weights=event_weights))
    return {"coverage": coverage(recommended, n_items=n_items), **values.named()}


def weighted_values(recommended: ItemIndexes, *, relevant: Histories, event_weights: FloatArray) -> UserValues:
    """Return Personalize's gain where a hit is worth what its event weighs.

    `normalized_discounted_cumulative_gain_with_event_weights_at_k` is the discounted sum of the hits' worth up to k,
    over that of a list that begins with the same hits, those that are worth most first.

    Args:
        recommended: int32 [m, up to LIST_LENGTH], the list of each user; -1 is no item.
        relevant: The hidden interactions of the same users; an item is worth the best of its hidden interactions.
        event_weights: float32 [event types + 1], by event type; configured weights with a mean of 1.
    """
    rewards = _rewards(recommended, relevant, event_weights)
    metrics = {}
    for cut in _CUTS:
        made = rewards[:, :cut]
        ideal = -np.sort(-made, axis=1) @ _DISCOUNTS[:cut]
        gains = np.divide(made @ _DISCOUNTS[:cut], ideal, out=np.zeros(len(made)), where=ideal > 0.0)
        metrics[f"normalized_discounted_cumulative_gain_with_event_weights_at_{cut}"] = gains
    return _means(metrics, counted=relevant.lengths() > 0)


def _rewards(recommended: ItemIndexes, relevant: Histories, event_weights: FloatArray) -> NDArray[np.float64]:
    """Return what the item at each place of each list is worth: float64 [m, LIST_LENGTH], 0 for misses."""
    rewards = np.zeros((len(recommended), LIST_LENGTH))
    for row, items in enumerate(recommended):
        hidden = relevant.of(row)
        worth: dict[int, float] = {}
        for item, weight in zip(hidden.items.tolist(), event_weights[hidden.event_types].tolist(), strict=True):
            worth[item] = max(weight, worth.get(item, 0.0))
        rewards[row, : len(items)] = [worth.get(item, 0.0) for item in items.tolist()]
    return rewards


def published(values: Mapping[str, float]) -> dict[str, float]:
    """Round metrics to the four decimals that Personalize shows."""
    return {name: round(value, 4) for name, value in values.items()}


def _means(metrics: Mapping[str, NDArray[np.float64]], *, counted: NDArray[np.bool_]) -> UserValues:
    """Make metrics, each float64 [m], that are means over the users where `counted`, bool [m]."""
    gains = np.stack(list(metrics.values()), axis=1)
    weights = np.repeat(counted[:, None].astype(np.float64), gains.shape[1], axis=1)
    return UserValues(tuple(metrics), gains * weights, weights)
