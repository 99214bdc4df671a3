"""Cold items of fitted models: vectors that their content predicts, and what such predictions have in common.

Learning a map from attributes to a model's vectors is Gantner et al.'s ("Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations", ICDM 2010). Here the map is a ridge regression of the items' vectors, biases included, on
their content, each item trusted by count / (count + 20). With Q the vectors less their trusted mean m, E the content as
vectors of length one, D the trusts on a diagonal and t their sum, an item's prediction is

    m + stretch * e (E'DE + 0.001 t I)^-1 E'DQ.

An item with fewer than five interactions is moved towards what is predicted, all the way when it has none.

A conditional mean varies less than what it is the mean of, and rules add to the scores of known items alone, so lists
would hardly ever name a new item. What is predicted is therefore stretched around the mean until it makes scores vary
between items as much as those that are served.

SASRec is completed so, here, and items that come after a training get their vectors by the same map
(`recipes.components.new_items`). EASE's weights are regressed in `recipes.models.ease.cold_items`, by the same trusts
and stretch (`ItemEvidence`, `stretch`). The cold items of the GRU recipes are another thing, a part of their fit: see
`recipes.components.item_features`.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories
from recipes.data.training_data import TrainingData
from recipes.ports import ItemScorer
from recipes.retrieval.scoring import catalogue_scores

__all__ = [
    "COLD", "CONTENT_SIZE", "ColdMap", "ItemEvidence", "draw_compared", "fit_cold_map", "learn_cold_map", "stretch",
    "with_cold_items",
]  # fmt: skip

#: Coordinates of items' content.
CONTENT_SIZE = 64
#: Users by whose scores predictions are stretched.
_COMPARED = 64

#: Uses from which on an item speaks for itself; one with fewer is cold.
COLD = 5
#: Uses at which an item is half trusted as an example to learn from.
_HALF_TRUSTED = 20.0
#: Penalty of the regression, as a share of the trusted items.
_PENALTY = 0.001


class ColdMap(NamedTuple):
    """How the vectors of a model's items follow from their content.

    Attributes:
        centre: float32 [d], the trusted items' mean.
        weights: float32 [c, d], stretched coefficients of the regression.
    """

    centre: FloatArray
    weights: FloatArray

    def predict(self, content: FloatArray) -> FloatArray:
        """Return the vectors of items by their content, float32 [n, c] of whatever length: float32 [n, d]."""
        lengths = np.linalg.norm(content, axis=1, keepdims=True)
        scaled = content / np.maximum(lengths, np.float32(1e-9))
        predicted: FloatArray = self.centre + scaled @ self.weights
        return predicted


class ItemEvidence(NamedTuple):
    """What is known of items, by their content and by their use.

    Attributes:
        content: float32 [n_items, c], of length one; zero where nothing is known of an item's content.
        trust: float32 [n_items], 0 to 1, how far each is trusted as an example: uses / (uses + 20); 0 without content.
        lack: float32 [n_items], the share of evidence that an item lacks: 1 without uses to 0 with five; 0 without
            content.
    """

    content: FloatArray
    trust: FloatArray
    lack: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray, uses: NDArray[np.integer]) -> Self:
        """Weigh up the evidence.

        Args:
            vectors: float32 [n_items, c], content; zero where nothing is known of an item.
            uses: int [n_items], interactions or users of each.
        """
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_described = lengths[:, 0] > 0.0
        content = (vectors / np.maximum(lengths, np.float32(1e-9))).astype(np.float32)
        trust = np.where(is_described, uses / (uses + _HALF_TRUSTED), 0.0).astype(np.float32)
        lack = np.where(is_described, np.maximum(1.0 - uses / COLD, 0.0), 0.0).astype(np.float32)
        return cls(content, trust, lack)

    def can_predict(self) -> bool:
        """Return whether there are cold items, and others to learn from."""
        return bool(self.lack.any() and self.trust.any())

    def trusted(self) -> NDArray[np.bool_]:
        """Return the more trusted half of the items that are trusted at all: bool [n_items]."""
        return self.trust >= np.median(self.trust[self.trust > 0.0])


def draw_compared(histories: Histories, *, seed: int) -> NDArray[np.int64]:
    """Draw the users by whose scores predictions are stretched: at most 64 of those with a history."""
    return np.random.default_rng(seed).permutation(np.flatnonzero(histories.lengths()))[:_COMPARED]


def stretch(actual: float, predicted: float) -> np.float32:
    """Return the factor, at least 1, by which predicted scores must vary more to vary as the actual ones.

    Args:
        actual: Standard deviations of users' scores between trusted items, summed over users.
        predicted: The same of the predicted scores.
    """
    return np.float32(max(1.0, actual / predicted) if predicted > 0.0 else 1.0)


def learn_cold_map(
    scorer: ItemScorer, data: TrainingData, content: FloatArray, *, uses: NDArray[np.integer], seed: int
) -> ColdMap | None:
    """Learn how a model's vectors follow from content; see the module.

    Args:
        scorer: The model.
        data: What users did, to compare scores on.
        content: float32 [n_items, c], zero where nothing is known of an item.
        uses: int [n_items], interactions of each item that the model has learnt from.
        seed: Decides whose scores are compared.

    Returns:
        None where there is no item to learn from.
    """
    histories = data.histories()
    chosen = draw_compared(histories, seed=seed)
    if not ItemEvidence.of(content, uses).trust.any() or not len(chosen):
        return None
    compared = histories.take(chosen)
    queries = scorer.embed_histories(compared)
    scores = catalogue_scores(scorer, compared, embeddings=queries)(slice(0, len(compared)))
    scores[compared.owners(), compared.items] = np.nan
    return fit_cold_map(scorer.item_vectors, content, uses=uses, queries=queries, scores=scores)


def fit_cold_map(
    vectors: FloatArray, content: FloatArray, *, uses: NDArray[np.integer], queries: FloatArray, scores: FloatArray
) -> ColdMap:
    """Fit the ridge regression of vectors on content, and stretch what it predicts.

    Args:
        vectors: float32 [n_items, d], as learnt.
        content: float32 [n_items, c], not zero for some item that is used.
        uses: int [n_items], interactions of each item.
        queries: float32 [m, d], of some users, m above 0.
        scores: float32 [m, n_items], as served to the same users; NaN for what they used.
    """
    evidence = ItemEvidence.of(content, uses)
    trust = evidence.trust[:, None]
    trusting: FloatArray = trust * evidence.content
    centre = (trust * vectors).sum(axis=0) / trust.sum()
    gram: FloatArray = evidence.content.T @ trusting
    gram[np.diag_indices(len(gram))] += np.float32(_PENALTY) * trust.sum()
    solved = np.linalg.solve(gram, trusting.T @ (vectors - centre)).astype(np.float32)
    trusted = evidence.trusted()
    predicted: FloatArray = evidence.content[trusted] @ solved
    served = float(np.nanstd(scores[:, trusted], axis=1).sum())
    factor = stretch(served, float((queries @ predicted.T).std(axis=1).sum()))
    return ColdMap(centre.astype(np.float32), factor * solved)


def with_cold_items(
    vectors: FloatArray, content: FloatArray, cold_map: ColdMap, *, uses: NDArray[np.integer]
) -> FloatArray:
    """Return the items' vectors with those of cold items moved to what their content predicts.

    Args:
        vectors: float32 [n_items, d], as learnt.
        content: float32 [n_items, c]; zero where nothing is known of an item, which then stays as it is.
        cold_map: From content to vectors.
        uses: int [n_items], interactions of each item.

    Returns:
        float32 [n_items, d]; the same array where no item is cold.
    """
    lack = ItemEvidence.of(content, uses).lack
    cold = np.flatnonzero(lack)
    if not len(cold):
        return vectors
    completed = np.array(vectors, np.float32)
    completed[cold] += lack[cold, None] * (cold_map.predict(content[cold]) - vectors[cold])
    return completed
