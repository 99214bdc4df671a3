"""Vectors for items that hardly anybody used, predicted from what a network learnt of items of such content.

Learning a map from attributes to a model's vectors is Gantner et al.'s ("Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations", ICDM 2010). The map is a ridge regression of the items' vectors, biases included, on their
content, each item trusted by count / (count + 20). An item with fewer than five interactions is moved towards what is
predicted, all the way when it has none.

A conditional mean varies less than what it is the mean of, and rules add to the scores of known items alone, so lists
would hardly ever name a new item. What is predicted is therefore stretched around the mean until it makes scores vary
between items as much as those that are served.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import by_scorer
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import ItemScorer

__all__ = ["learn_content", "predict_cold_vectors", "predict_cold_vectors_from", "predict_new_cold_vectors"]

#: Coordinates of items' content, and users by whose scores it is scaled.
_CONTENT_SIZE = 64
_COMPARED = 64

#: Interactions from which on an item speaks for itself.
_COLD = 5
#: Interactions at which an item is half trusted as an example.
_TRUSTED = 20.0
#: Penalty, as a share of the trusted items.
_PENALTY = 0.001


def learn_content(data: TrainingData, *, seed: int) -> FloatArray:
    """Return what the items' columns say of them: float32 [n_items, c], zero where they say nothing."""
    return learn_vectors(data.items, n_rows=data.n_items, size=_CONTENT_SIZE, seed=seed)[1]


def predict_new_cold_vectors(
    scorer: ItemScorer, data: TrainingData, before: NDArray[np.int64], *, seed: int
) -> FloatArray:
    """Return an updated model's vectors of items with those of new items predicted, and every other as it is.

    Args:
        scorer: The updated model.
        data: All that it was updated to.
        before: int64 [n_items], the index that each item had when the model was fitted, -1 for new items.
        seed: Decides whose scores are compared.
    """
    if not data.items or (before >= 0).all():
        return scorer.item_vectors
    # What was learnt stays; what users did with new items since then, the model has not learnt from.
    uses = np.bincount(data.interactions.item, minlength=data.n_items)
    uses = np.where(before >= 0, np.maximum(uses, _COLD), 0)
    return predict_cold_vectors_from(scorer, data, learn_content(data, seed=seed), uses=uses, seed=seed)


def predict_cold_vectors_from(
    scorer: ItemScorer, data: TrainingData, content: FloatArray, *, uses: NDArray[np.integer], seed: int
) -> FloatArray:
    """Return the items' vectors of a model with those of cold items moved to what their content predicts.

    Args:
        scorer: The model.
        data: What users did, to compare scores on.
        content: From `learn_content`.
        uses: int [n_items], interactions of each item that the model has learnt from.
        seed: Decides whose scores are compared.

    Returns:
        float32 [n_items, d].
    """
    histories = data.histories()
    some = np.random.default_rng(seed).permutation(np.flatnonzero(histories.lengths()))[:_COMPARED]
    compared = histories.take(some)
    queries = scorer.embed_histories(compared)
    scores = by_scorer(scorer, compared, queries=queries)(slice(0, len(compared)))
    scores[compared.owners(), compared.items] = np.nan
    return predict_cold_vectors(scorer.item_vectors, content, uses=uses, queries=queries, scores=scores)


def predict_cold_vectors(
    vectors: FloatArray, content: FloatArray, *, uses: NDArray[np.integer], queries: FloatArray, scores: FloatArray
) -> FloatArray:
    """Return the items' vectors with those of cold items moved to what their content predicts.

    Args:
        vectors: float32 [n_items, d], as learnt.
        content: float32 [n_items, c]; zero where nothing is known of an item, which then stays as it is.
        uses: int [n_items], interactions of each item.
        queries: float32 [m, d], of some users, m above 0.
        scores: float32 [m, n_items], as served to the same users; NaN for what they used.

    Returns:
        float32 [n_items, d]; the same array where no item is cold.
    """
    lengths = np.linalg.norm(content, axis=1, keepdims=True)
    known = lengths[:, 0] > 0.0
    share = np.where(known, np.maximum(1.0 - uses / _COLD, 0.0), 0.0).astype(np.float32)[:, None]
    trust = np.where(known, uses / (uses + _TRUSTED), 0.0).astype(np.float32)[:, None]
    if not share.any() or not trust.any():
        return vectors
    scaled: FloatArray = content / np.maximum(lengths, np.float32(1e-9))
    trusting: FloatArray = trust * scaled
    centre = (trust * vectors).sum(axis=0) / trust.sum()
    gram: FloatArray = scaled.T @ trusting
    gram[np.diag_indices(len(gram))] += np.float32(_PENALTY) * trust.sum()
    predicted: FloatArray = scaled @ np.linalg.solve(gram, trusting.T @ (vectors - centre)).astype(np.float32)
    trusted = trust[:, 0] >= np.median(trust[trust > 0.0])
    served = float(np.nanstd(scores[:, trusted], axis=1).sum())
    plain = float((queries @ predicted[trusted].T).std(axis=1).sum())
    stretch = np.float32(max(1.0, served / plain) if plain > 0.0 else 1.0)
    completed: FloatArray = vectors + share * (centre + stretch * predicted - vectors)
    return completed.astype(np.float32)
