"""A learnt map from columns to dense vectors, as it is applied; `recipes.models.lsa.decomposition` learns it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.data.sparse import SparseRows
from recipes.models.lsa.features import FeatureSpace

__all__ = ["ContentVectors"]


@dataclass(frozen=True, slots=True)
class ContentVectors:
    """A map from columns to vectors.

    Attributes:
        space: Turns columns into features.
        projection: float32 [features, c].
        centre: float32 [c], the mean of the rows that it was learnt from.
    """

    space: FeatureSpace
    projection: FloatArray
    centre: FloatArray

    def of(self, columns: Columns, *, n_rows: int) -> FloatArray:
        """Return the vectors of any rows: float32 [n_rows, c]; zero where nothing is known of a row."""
        return self.centred(self.space.features(columns, n_rows=n_rows))

    def centred(self, features: SparseRows) -> FloatArray:
        """Project features: float32 [n_rows, c]."""
        described = (np.diff(features.offsets) > 0)[:, None]
        return np.where(described, features @ self.projection - self.centre, np.float32(0.0)).astype(np.float32)
