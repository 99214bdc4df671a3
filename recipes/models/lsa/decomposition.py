"""Learning dense vectors: the leading directions of all items' features.

Latent semantic analysis (Deerwester et al., "Indexing by Latent Semantic Analysis", 1990), by the randomised singular
value decomposition of Halko, Martinsson and Tropp, "Finding Structure with Randomness" (SIAM Review 2011).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.data.sparse import SparseRows
from recipes.models.lsa.features import FeatureSpace
from recipes.models.lsa.vectors import ContentVectors

__all__ = ["learn_vectors"]

#: Directions beyond those that are wanted, and passes over the features.
_EXTRA = 10
_PASSES = 3


def learn_vectors(columns: Columns, *, n_rows: int, size: int, seed: int) -> tuple[ContentVectors, FloatArray]:
    """Learn from some rows.

    Args:
        columns: Of the rows.
        n_rows: How many there are.
        size: Coordinates wanted; there are fewer where rows or features are, and none without features.
        seed: Of the random start.

    Returns:
        The map, and the vectors of the rows: float32 [n_rows, c], their mean 0; zero where nothing is known of a row.
    """
    space, features = FeatureSpace.learn(columns, n_rows=n_rows)
    projection = _right_directions(features, n_columns=space.size, count=size, seed=seed)
    filled = max(1, int((np.diff(features.offsets) > 0).sum()))
    centre = (features @ projection).sum(axis=0) / filled
    found = ContentVectors(space, projection, centre.astype(np.float32))
    return found, found.centred(features)


def _right_directions(features: SparseRows, *, n_columns: int, count: int, seed: int) -> FloatArray:
    """Find the right singular vectors of the largest singular values: float32 [n_columns, at most `count`]."""
    n_rows = len(features.offsets) - 1
    matrix = sparse.csr_array((features.values, features.columns, features.offsets), shape=(n_rows, n_columns))
    across = matrix.T.tocsr()
    width = min(n_columns, n_rows, count + _EXTRA)
    basis = np.random.default_rng(seed).standard_normal((n_columns, width)).astype(np.float32)
    for _ in range(_PASSES):
        basis = np.linalg.qr(across @ (matrix @ basis))[0]
    seen = matrix @ basis
    values, turned = np.linalg.eigh(seen.T @ seen)
    chosen = np.argsort(-values, kind="stable")[:count]
    directions: FloatArray = (basis @ turned[:, chosen]).astype(np.float32)
    return directions
