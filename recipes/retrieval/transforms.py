"""Changes of coordinates that leave the order of a query's inner products as it is, and make searching easier.

The mean of the items may be taken off every item: that lowers all scores of a query by the same number. And with any
invertible matrix A, q.v = (q A) . (v inv(A)^T): A is chosen so that the second moment of users' vectors becomes the
unit matrix ("whitened"), whereby coordinates that hardly any user asks for hardly count. Both make vectors shorter
where nothing is lost by it, so that bounds by lengths are closer and random hyperplanes cut where it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray

__all__ = ["TRANSFORMS", "Transform", "TransformName"]

TransformName = Literal["raw", "centred", "whitened"]
TRANSFORMS: Final[tuple[TransformName, ...]] = ("raw", "centred", "whitened")
#: Share of the mean second moment that is added to each, so that directions nobody asked for yet stay finite.
_RIDGE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Transform:
    """A change of coordinates.

    Attributes:
        mean: float32 [d], what is taken off items.
        for_queries: float32 [d, d], what queries are multiplied by.
        for_items: float64 [d, d], what items are multiplied by; needed to build only.
    """

    mean: FloatArray
    for_queries: FloatArray
    for_items: NDArray[np.float64]

    @classmethod
    def fit(cls, name: TransformName, *, item_vectors: FloatArray, user_vectors: FloatArray) -> Transform:
        """Make a transformation of a catalogue.

        Args:
            name: `raw` changes nothing, `centred` takes the mean off, `whitened` whitens too.
            item_vectors: float32 [n_items, d].
            user_vectors: float32 [m, d], of users to whiten by.
        """
        width = item_vectors.shape[1]
        mean = np.zeros(width, np.float32)
        if name != "raw" and len(item_vectors):
            mean = item_vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        if name != "whitened" or not len(user_vectors):
            return cls(mean, np.eye(width, dtype=np.float32), np.eye(width))
        users = user_vectors.astype(np.float64)
        moments, directions = np.linalg.eigh(users.T @ users / len(users))
        moments = np.maximum(moments, 0.0)
        level = moments.mean()
        lengths = np.sqrt(moments + _RIDGE * level) if level > 0.0 else np.ones(width)
        for_queries = (directions / lengths).astype(np.float32)
        # The inverse of what queries are multiplied by as float32, so that products agree to the last digits.
        return cls(mean, for_queries, np.linalg.inv(for_queries.astype(np.float64)).T)

    @classmethod
    def load(cls, folder: Path, prefix: str, *, width: int) -> Transform:
        """Read what `save` wrote; for queries only.

        Raises:
            CorruptArtifact: A file is missing, unreadable or of another width.
        """
        names = (f"{prefix}_mean", f"{prefix}_queries")
        arrays = map_arrays(folder, names)
        mean, for_queries = (arrays[name] for name in names)
        if mean.shape != (width,) or for_queries.shape != (width, width):
            raise CorruptArtifact(f"`{prefix}_queries.npy`: got {for_queries.shape}, want {(width, width)}")
        return cls(mean, for_queries, np.empty((0, 0)))

    def save(self, folder: Path, prefix: str) -> None:
        """Write what queries need into an existing folder."""
        save_arrays(folder, {f"{prefix}_mean": self.mean, f"{prefix}_queries": self.for_queries})

    def turned(self, directions: NDArray[np.float64]) -> Transform:
        """Return the coordinates along some directions instead: float64 [d, d], orthonormal."""
        for_queries = (self.for_queries.astype(np.float64) @ directions).astype(np.float32)
        return Transform(self.mean, for_queries, np.linalg.inv(for_queries.astype(np.float64)).T)

    def items(self, item_vectors: FloatArray) -> NDArray[np.float64]:
        """Return items in the new coordinates: float64 [n, d]."""
        moved: NDArray[np.float64] = (item_vectors.astype(np.float64) - self.mean) @ self.for_items
        return moved

    def queries(self, user_vectors: FloatArray) -> FloatArray:
        """Return queries in the new coordinates: float32 [..., d]."""
        moved: FloatArray = user_vectors @ self.for_queries
        return moved
