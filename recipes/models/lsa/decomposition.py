"""From columns to dense vectors: the leading directions of all rows' features, a map that applies to any rows.

Latent semantic analysis (Deerwester et al., "Indexing by Latent Semantic Analysis", 1990), by the randomised singular
value decomposition of Halko, Martinsson and Tropp, "Finding Structure with Randomness" (SIAM Review 2011).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.data.sparse import SparseRows, leading_subspace
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.features import FeatureSpace

__all__ = ["learn_vectors"]

#: Passes over the features.
_PASSES = 3


def learn_vectors(columns: Columns, *, n_rows: int, size: int, seed: int) -> tuple[ContentVectors, FloatArray]:
    """Learn from some rows.

    Args:
        columns: The rows' columns.
        n_rows: Number of rows.
        size: Coordinates wanted; there are fewer where rows or features are, and none without features.
        seed: Decides the random start.

    Returns:
        The map, and the vectors of the rows: float32 [n_rows, c], their mean 0; zero where nothing is known of a row.
    """
    space, features = FeatureSpace.learn(columns, n_rows=n_rows)
    projection = _right_directions(features, n_columns=space.size, count=size, seed=seed)
    filled = max(1, int((np.diff(features.offsets) > 0).sum()))
    centre = (features @ projection).sum(axis=0) / filled
    content = ContentVectors(space, projection, centre.astype(np.float32))
    return content, content.centred(features)


def _right_directions(features: SparseRows, *, n_columns: int, count: int, seed: int) -> FloatArray:
    """Find the right singular vectors of the largest singular values: float32 [n_columns, at most `count`]."""
    n_rows = len(features)
    matrix = sparse.csr_array((features.values, features.columns, features.offsets), shape=(n_rows, n_columns))
    across = matrix.T.tocsr()

    def project(basis: FloatArray) -> FloatArray:
        seen = matrix @ basis
        gram: FloatArray = seen.T @ seen
        return gram

    _, directions = leading_subspace(
        lambda basis: across @ (matrix @ basis),
        size=n_columns, count=count, passes=_PASSES, seed=seed, project=project, rank=n_rows,
    )  # fmt: skip
    return directions.astype(np.float32)
