"""Vectors for items that hardly anybody used, foretold from what a network learnt of items of such content.

Learning a map from attributes to a model's vectors is Gantner et al.'s ("Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations", ICDM 2010). The map is a ridge regression of the items' vectors, biases included, on their
content, each item trusted by count / (count + 20). An item with fewer than five interactions is moved towards what is
foretold, all the way when it has none.

A conditional mean varies less than what it is the mean of, and rules add to the scores of known items alone, so lists
would hardly ever name a new item. What is foretold is therefore stretched around the mean until it makes scores vary
between items as much as those that are served.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.interface import FloatArray

__all__ = ["foretell"]

#: Interactions from which on an item speaks for itself.
_COLD = 5
#: Interactions at which an item is half trusted as an example.
_TRUSTED = 20.0
#: Penalty, as a share of the trusted items.
_PENALTY = 0.001


def foretell(
    vectors: FloatArray, content: FloatArray, *, uses: NDArray[np.integer], queries: FloatArray, scores: FloatArray
) -> FloatArray:
    """Return the items' vectors with those of cold items moved to what their content foretells.

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
    foretold: FloatArray = scaled @ np.linalg.solve(gram, trusting.T @ (vectors - centre)).astype(np.float32)
    trusted = trust[:, 0] >= np.median(trust[trust > 0.0])
    served = float(np.nanstd(scores[:, trusted], axis=1).sum())
    plain = float((queries @ foretold[trusted].T).std(axis=1).sum())
    stretch = np.float32(max(1.0, served / plain) if plain > 0.0 else 1.0)
    completed: FloatArray = vectors + share * (centre + stretch * foretold - vectors)
    return completed.astype(np.float32)
