"""What groups of users have in common, for pairs of items: the low-pass filter of the graph of users and items.

With X [n_users, n_items] who used what and d the numbers of uses, R = d_users^-1/2 X d_items^-1/2. Eigenvectors V of
R^T R with large eigenvalues differ little between items of the same users, and the ideal low-pass filter V V^T says
what an item's part in them tells of other items (Shen et al., "How Powerful is Graph Convolution for Recommendation?",
CIKM 2021; Choi et al., "Blurring-Sharpening Process Models for Collaborative Filtering", SIGIR 2023). A regression of
items on items shrinks pairs of few users to nothing; groups are made of many.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import leading_subspace

__all__ = ["low_pass_weights"]

#: Eigenvectors at most, and multiplications by which they are searched for among more: what is kept stands out.
_MOST = 256
_PASSES = 3


def low_pass_weights(histories: Histories, *, n_items: int) -> FloatArray:
    """Return d_i^-1/4 (V V^T)_ij d_j^1/4 for different items i and j that the same users have used, 0 for others.

    Kept are the 256 eigenvectors of the largest eigenvalues, as far as they are more than chance: had users drawn items
    at random, no eigenvalue but the first would be above (a^-1/2 + b^-1/2)^2, for users of a items and items of b users
    each (Brito, Dumitriu and Harris, "Spectral gap in random bipartite biregular graphs", 2022).

    Args:
        histories: Different items of each user.
        n_items: Items of the catalogue.

    Returns:
        float32 [n_items, n_items]; row i, column j: how much item i speaks for item j.
    """
    lengths, uses = histories.lengths(), np.bincount(histories.items, minlength=n_items)
    scale = (lengths[histories.owners()] * uses[histories.items]).astype(np.float32) ** np.float32(-0.5)
    graph = sparse.csr_array((scale, histories.items, histories.offsets), shape=(len(histories), n_items))
    likeness = (graph.T @ graph).toarray()
    passes = _PASSES if n_items > _MOST else 0
    values, vectors = leading_subspace(likeness.__matmul__, size=n_items, count=_MOST, passes=passes, seed=0)
    by_chance = sum(counts[counts > 0].mean() ** -0.5 for counts in (lengths, uses)) ** 2 if len(scale) else np.inf
    vectors = vectors[:, values > by_chance]
    power = np.maximum(uses, 1).astype(np.float32)[:, None] ** np.float32(0.25)
    weights: FloatArray = (vectors / power) @ (vectors * power).T
    weights[likeness == 0.0] = 0.0
    np.fill_diagonal(weights, 0.0)
    return weights
