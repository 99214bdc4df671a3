"""Applying score fusion: how rules, a regression and repeats change the scores that a network gives for a history.

The score of item i for a history h is

    a * network(h, i) + g . popularity(i) + w * log(1 + rules(h, i) / e) + regression(h, i) + [i in h] * repeat(h, i)

where popularity(i) are the features of `recipes.components.recency.popularity_features`, rules(h, i) adds up the
strengths of the rules from the newest items of h to i, each place weighing as learnt, regression(h, i) what all items
of h speak for, see `recipes.components.item_regression.score`, and repeat(h, i) depends on how long ago i was used
last, what was done with it then, and how often it was used. The first two terms are part of the item vectors; the
others are zero for all but some items, the score deltas.

A weighted sum of scores before one softmax is a product of experts (Hinton, 2002), or log-linear pooling of their
probabilities; `fit` learns the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.components.history_deltas import COUNT_ENDS, RECENCY_ENDS, fused_deltas
from recipes.components.item_regression.score import ItemRegression
from recipes.components.sequential_rules import PLACES, SequentialRules
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.ports import ScoreDelta, ScoreDeltas

__all__ = ["COUNT_BUCKETS", "POPULARITY_FEATURES", "RECENCY_BUCKETS", "Repeats", "ScoreFusion", "repeats"]

RECENCY_BUCKETS = len(RECENCY_ENDS) + 1
COUNT_BUCKETS = len(COUNT_ENDS) + 1
#: Features of how popular an item is and becomes.
POPULARITY_FEATURES = 4
_ARRAYS = (
    "blend_network",
    "blend_popularity",
    "blend_rules",
    "blend_scale",
    "blend_places",
    "blend_recency",
    "blend_count",
)


@dataclass(frozen=True, slots=True)
class Repeats:
    """The distinct items of a history, with what decides whether they are used again.

    Attributes:
        items: int32 [k], ascending.
        recency: int64 [k], buckets of the steps since the last use.
        event_types: uint8 [k], what was done at the last use.
        counts: int64 [k], buckets of the number of uses.
    """

    items: ItemIndexes
    recency: NDArray[np.int64]
    event_types: NDArray[np.uint8]
    counts: NDArray[np.int64]


def repeats(history: History) -> Repeats:
    """Describe the distinct items of a history."""
    backwards = history.items[::-1]
    # As `np.unique` does it, at half the cost for as few as there are; the stable sort puts the last use first.
    order = backwards.argsort(kind="stable")
    ascending = backwards[order]
    is_first = np.ones(len(order), bool)
    np.not_equal(ascending[1:], ascending[:-1], out=is_first[1:])
    firsts = is_first.nonzero()[0]
    ends = np.empty(len(firsts), np.int64)
    ends[:-1], ends[-1:] = firsts[1:], len(order)
    places = order[firsts]
    return Repeats(
        items=ascending[firsts],
        recency=np.searchsorted(RECENCY_ENDS, places + 1),
        event_types=history.event_types[::-1][places],
        counts=np.searchsorted(COUNT_ENDS, ends - firsts),
    )


@dataclass(frozen=True, slots=True)
class ScoreFusion:
    """Learnt weights; see the formula above. Those of the regression are its own.

    Attributes:
        network: a.
        popularity: g, float32 [POPULARITY_FEATURES].
        rules: w.
        scale: e.
        places: float32 [PLACES], weights of the newest items' rules, the newest first.
        recency: float32 [RECENCY_BUCKETS, event types + 1], part of repeat.
        count: float32 [COUNT_BUCKETS], the other part.
    """

    network: float
    popularity: FloatArray
    rules: float
    scale: float
    places: FloatArray
    recency: FloatArray
    count: FloatArray

    @classmethod
    def of_network(cls, *, n_event_types: int, repeat_bias: float = 0.0) -> Self:
        """Return the fusion of the network alone, but for one bias of all repeats."""
        recency = np.full((RECENCY_BUCKETS, n_event_types + 1), repeat_bias, np.float32)
        places = (1.0 / np.arange(1, PLACES + 1)).astype(np.float32)
        return cls(
            1.0,
            np.zeros(POPULARITY_FEATURES, np.float32),
            0.0,
            1.0,
            places,
            recency,
            np.zeros(COUNT_BUCKETS, np.float32),
        )

    def item_vectors(self, embeddings: FloatArray, biases: FloatArray, popularity: FloatArray) -> FloatArray:
        """Make item vectors whose product with (state, 1) is the first two terms of the formula.

        Args:
            embeddings: float32 [n_items, d], of the network.
            biases: float32 [n_items], of the network.
            popularity: float32 [POPULARITY_FEATURES, n_items].

        Returns:
            float32 [n_items, d + 1].
        """
        bias = self.network * biases + self.popularity @ popularity
        return np.concatenate([self.network * embeddings, bias[:, None]], axis=1).astype(np.float32)

    def score_deltas(
        self, sequential_rules: SequentialRules, regression: ItemRegression, history: History
    ) -> ScoreDelta:
        """Work out the last three terms of the formula.

        Args:
            sequential_rules: The rules.
            regression: What items speak for.
            history: Items that are not in the catalogue are passed over, and event types that are newer than the model
                taken for unknown ones.
        """
        rules, weights = sequential_rules.rules, regression.weights
        items, values = fused_deltas(
            history.items,
            history.event_types,
            rules.offsets,
            rules.columns,
            rules.values,
            self.places,
            weights.offsets,
            weights.columns,
            weights.values,
            regression.places,
            self.recency,
            self.count,
            self.rules,
            self.scale,
            regression.weight,
        )
        return ScoreDelta(items, values)

    def score_deltas_of(
        self,
        sequential_rules: SequentialRules,
        regression: ItemRegression,
        histories: Histories,
        users: NDArray[np.int64],
    ) -> ScoreDeltas:
        """Do `score_deltas` for some users of histories, int64 [n]."""
        # Here, as what answers single requests has no need of it.
        from recipes.components.user_deltas import fused_deltas_of_users

        rules, weights = sequential_rules.rules, regression.weights
        return ScoreDeltas(
            *fused_deltas_of_users(
                users,
                histories.offsets,
                histories.items,
                histories.event_types,
                rules.offsets,
                rules.columns,
                rules.values,
                self.places,
                weights.offsets,
                weights.columns,
                weights.values,
                regression.places,
                self.recency,
                self.count,
                self.rules,
                self.scale,
                regression.weight,
            )
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved, by name."""
        network, rules, scale = (np.array(value, np.float64) for value in (self.network, self.rules, self.scale))
        values = (network, self.popularity, rules, scale, self.places, self.recency, self.count)
        return dict(zip(_ARRAYS, values, strict=True))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the saved arrays."""
        return _ARRAYS

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make a fusion of saved arrays.

        Raises:
            CorruptArtifact: They have other shapes.
        """
        places, recency, count = (arrays[name] for name in _ARRAYS[4:])
        if (
            (places.shape, count.shape) != ((PLACES,), (COUNT_BUCKETS,))
            or recency.shape[:1] != (RECENCY_BUCKETS,)
            or recency.ndim != 2
            or not recency.size
        ):
            raise CorruptArtifact(f"`blend_recency.npy`: got shape {recency.shape}, want {RECENCY_BUCKETS} rows")
        network, rules, scale = (float(arrays[name]) for name in (_ARRAYS[0], *_ARRAYS[2:4]))
        return cls(network, arrays[_ARRAYS[1]], rules, scale, places, recency, count)
