"""Fitting Similar-Items: every item regressed on the others, in closed form, from which users used what near what.

See `recipes.components.item_regression.ease` for the regression. Deviations from Steck (WWW 2019): users weigh less the
more they used, an item's penalty grows with the root of its popularity, and where times are known, items that were used
one after the other count more than those at the two ends of a long history. In catalogues that are solved exactly, what
groups of users have in common is added (`recipes.models.ease.low_pass`). The constants below were chosen on held-out
parts of training data.

Items that few users used get neighbours by their columns; see `recipes.models.ease.cold_items`. So do, when they come,
items that came after the training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.components.item_neighbors import popularity_vectors
from recipes.components.item_regression.ease import ease_weights, sparse_ease_weights
from recipes.data.counts import users_per_item
from recipes.data.gram_matrix import (
    GramMatrix,
    build_gram_matrix,
    distinct_items,
    neighbour_limit,
    neighbours,
)
from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.models.ease.cold_items import ContentWeights, with_content
from recipes.models.ease.config import CANDIDATES, MAX_DENSE_ITEMS, ROW_LIMIT, EASEConfig
from recipes.models.ease.low_pass import low_pass_weights
from recipes.models.ease.score import EASEScorer
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import FitProgress, LearntContent, ignore_progress

__all__ = ["EASEFitter"]

#: Users weigh by their number of items to the power of minus this.
_USER_POWER = 0.5
#: Penalty of an item that is used as often as the mean, in users, and the power of its use that it grows with.
_PENALTY = 120.0
_PENALTY_POWER = 0.5
#: Share of the weight of a pair that depends on how near the two were used, and places beyond which nothing is near.
_NEARNESS = 0.6
_WIDTH = 20
#: Weight of the low-pass filter beside the regression.
_LOW_PASS = np.float32(0.25)


class EASEFitter:
    """Fits EASE with the columns of items; a `recipes.ports.Fitter`. Nothing is held out.

    Args:
        config: How much popularity is divided out, and how wide the model is.
        seed: Decides where the search for what is common in items' columns starts; without columns nothing is random.
        progress: Called with the share of the items that are solved.
        max_dense_items: Catalogues up to this size are solved exactly.
    """

    def __init__(
        self,
        config: EASEConfig,
        *,
        seed: int,
        progress: FitProgress = ignore_progress,
        max_dense_items: int = MAX_DENSE_ITEMS,
    ) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._max_dense_items = max_dense_items
        self._content: LearntContent | None = None

    def fit(self, data: TrainingData) -> EASEScorer:
        """Count, solve, and keep the strongest weights."""
        self._progress(fraction=0.01, stage="counting", metrics={})
        dense = data.n_items <= self._max_dense_items
        histories = distinct_items(data)
        times = data.interactions.timestamp
        timed = len(times) > 0 and bool(times.min() < times.max())
        gram = build_gram_matrix(
            histories, n_items=data.n_items, user_weights=_user_weights(histories),
            nearness=_NEARNESS if timed else 0.0, width=_WIDTH, row_limit=None if dense else ROW_LIMIT,
        )  # fmt: skip
        popularity = users_per_item(data)
        weights = self._solve(gram, histories, dense=dense)
        discount = np.maximum(popularity, 1).astype(np.float32) ** np.float32(-self._config.popularity_discount_factor)
        values = weights.values * discount[weights.columns]
        near = neighbours(SparseRows(weights.offsets, weights.columns, values), limit=neighbour_limit(data.n_items))
        learnt = None
        if data.items:
            learnt = ContentWeights.learn(
                near, self.content(data).vectors, users=popularity, histories=histories, seed=self._seed
            )
        if learnt is not None:
            near = with_content(near, learnt)
        self.report = {"neighbours": float(len(near.columns))}
        self._progress(fraction=1.0, stage="solved", metrics=self.report)
        vectors = popularity_vectors(popularity)
        if learnt is None:
            return EASEScorer(vectors, near)
        return EASEScorer(vectors, near, new_items=learnt.of_new_items(popularity), content=self.content(data).encoder)

    def extend(self, data: TrainingData) -> EASEScorer:
        """Solve for all weights anew: the solution in closed form has no step to go on from."""
        return self.fit(data)

    def content(self, data: TrainingData) -> LearntContent:
        """Return what the items' columns say, the same in `fit` and `extend`.

        Their vectors are as wide as the hyperparameter `item_metadata_hidden_dim`, or less where there are fewer
        features.
        """
        if self._content is None:
            size = self._config.item_metadata_hidden_dim
            self._content = LearntContent(*learn_vectors(data.items, n_rows=data.n_items, size=size, seed=self._seed))
        return self._content

    def _solve(self, gram: GramMatrix, histories: Histories, *, dense: bool) -> SparseRows:
        used = gram.diagonal[gram.diagonal > 0.0]
        mean = float(used.mean()) if len(used) else 1.0
        # Items that nobody used get the penalty of one that is used a hundredth as much as the mean.
        penalties = (_PENALTY * np.maximum(gram.diagonal / mean, 0.01) ** _PENALTY_POWER).astype(np.float32)
        if dense:
            weights = ease_weights(gram, penalties)
            added = low_pass_weights(histories, n_items=len(weights))[weights.rows(), weights.columns]
            return SparseRows(weights.offsets, weights.columns, weights.values + _LOW_PASS * added)
        return sparse_ease_weights(
            gram, penalties, candidates=CANDIDATES * self._config.item_id_hidden_dim, progress=self._solved
        )

    def _solved(self, share: float) -> None:
        self._progress(fraction=0.1 + 0.85 * share, stage=f"{share:.0%} of the items solved", metrics={})


def _user_weights(histories: Histories) -> FloatArray:
    """Weigh users, so that all interactions together weigh what they would alike: float32 [n_users]."""
    lengths = np.maximum(histories.lengths(), 1)
    weights = lengths**-_USER_POWER
    return (weights * (len(histories.items) / max(1.0, float((weights * histories.lengths()).sum())))).astype(
        np.float32
    )
