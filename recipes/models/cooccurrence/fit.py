"""Fitting SIMS: counting the users that two items have in common.

Linden, Smith and York, "Amazon.com Recommendations: Item-to-Item Collaborative Filtering" (IEEE Internet Computing
2003). With n_ij the users who used both items and n_i those who used item i, item j's weight as a neighbour of i is

    n_ij / (n_i n_j)^p

with the power p as a parameter, as in Personalize: 0.5 is the paper's cosine. Deviations: users and items of unusually
little or much use are left out by percentiles, and of a long history the newest thousand different items count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from recipes.components.item_neighbors import ItemNeighborsScorer, popularity_vectors
from recipes.data.counts import users_per_item, within_percentiles
from recipes.data.gram_matrix import (
    diagonal_of,
    distinct_items,
    join_rows,
    neighbour_limit,
    neighbours,
    sum_pairs,
)
from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.models.cooccurrence.config import CooccurrenceConfig
from recipes.ports import FitProgress, ignore_progress

__all__ = ["CooccurrenceFitter"]

#: Pairs of items that are counted at once, and cells of a dense block of rows: about 50 MiB.
_PAIRS_AT_ONCE: Final = 1 << 20
_DENSE_CELLS: Final = 1 << 22


class CooccurrenceFitter:
    """Counts common users of items, as SIMS; a `recipes.ports.Fitter`. Nothing is random and nothing is held out.

    Args:
        config: What is left out, and how much popularity is divided out.
        seed: Without effect.
        progress: Called when counting begins and ends.
    """

    def __init__(self, config: CooccurrenceConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress

    def fit(self, data: TrainingData) -> ItemNeighborsScorer:
        """Count, divide popularity out, and keep the nearest."""
        self._progress(fraction=0.1, stage="counting", metrics={})
        histories = distinct_items(self._filtered(data))
        popularity = np.maximum(diagonal_of(histories, n_items=data.n_items), 1.0)
        discount = popularity ** np.float32(-self._config.popularity_discount_factor)
        limit = neighbour_limit(data.n_items)
        near = join_rows(
            neighbours(weights, limit=limit) for weights in self._weights(histories, discount, n_items=data.n_items)
        )
        self.report = {"neighbours": float(len(near.columns))}
        self._progress(fraction=1.0, stage="counted", metrics=self.report)
        return ItemNeighborsScorer(popularity_vectors(users_per_item(data)), near)

    def extend(self, data: TrainingData) -> ItemNeighborsScorer:
        """Count all interactions anew."""
        return self.fit(data)

    def _weights(self, histories: Histories, discount: FloatArray, *, n_items: int) -> Iterator[SparseRows]:
        """Yield the weights of the neighbours of all items, [rows, n_items] of a few items at a time."""
        first = 0
        for counts in sum_pairs(histories, n_items=n_items, pairs_at_once=_PAIRS_AT_ONCE, dense_cells=_DENSE_CELLS):
            # Even where the minimum is 0, items without a user in common are no neighbours.
            enough = counts.values >= self._config.min_cointeraction_count
            rows, columns, values = counts.rows()[enough], counts.columns[enough], counts.values[enough]
            offsets = np.searchsorted(rows, np.arange(len(counts) + 1)).astype(np.int64)
            yield SparseRows(offsets, columns, values * discount[first + rows] * discount[columns])
            first += len(counts)

    def _filtered(self, data: TrainingData) -> TrainingData:
        """Leave out users and items whose numbers of interactions lie outside of the percentiles."""
        rows, config = data.interactions, self._config
        user_kept = within_percentiles(
            np.bincount(rows.user, minlength=data.n_users),
            low=config.min_user_history_length_percentile,
            high=config.max_user_history_length_percentile,
        )
        item_kept = within_percentiles(
            np.bincount(rows.item, minlength=data.n_items),
            low=config.min_item_interaction_count_percentile,
            high=config.max_item_interaction_count_percentile,
        )
        return data.where(user_kept[rows.user] & item_kept[rows.item])
