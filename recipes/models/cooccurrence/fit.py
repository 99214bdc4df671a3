"""Fitting SIMS: counting the users that two items have in common.

Linden, Smith and York, "Amazon.com Recommendations: Item-to-Item Collaborative Filtering" (IEEE Internet Computing
2003). With n_ij the users who used both items and n_i those who used item i, item j's weight as a neighbour of i is

    n_ij / (n_i n_j)^p

with the power p as a parameter, as in Personalize: 0.5 is the paper's cosine. Deviations: users and items of unusually
little or much use are left out by percentiles, and of a long history the newest thousand different items count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.components.item_neighbors import ItemNeighborsScorer, popularity_vectors
from recipes.data.counts import users_per_item, within_percentiles
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.models.cooccurrence.config import CooccurrenceConfig
from recipes.models.cooccurrence.gram_matrix import build_gram_matrix, distinct_items, neighbours
from recipes.ports import FitProgress, ignore_progress

__all__ = ["CooccurrenceFitter"]


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
        gram = build_gram_matrix(distinct_items(self._filtered(data)), n_items=data.n_items)
        pairs = gram.off_diagonal
        # Even where the minimum is 0, items without a user in common are no neighbours.
        enough = pairs.values >= self._config.min_cointeraction_count
        rows, columns, values = pairs.rows()[enough], pairs.columns[enough], pairs.values[enough]
        popularity = np.maximum(gram.diagonal, 1.0) ** np.float32(-self._config.popularity_discount_factor)
        offsets = np.searchsorted(rows, np.arange(data.n_items + 1)).astype(np.int64)
        near = neighbours(SparseRows(offsets, columns, values * popularity[rows] * popularity[columns]))
        self.report = {"neighbours": float(len(near.columns))}
        self._progress(fraction=1.0, stage="counted", metrics=self.report)
        return ItemNeighborsScorer(popularity_vectors(users_per_item(data)), near)

    def extend(self, data: TrainingData) -> ItemNeighborsScorer:
        """Count all interactions anew."""
        return self.fit(data)

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
