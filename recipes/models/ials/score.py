"""Serving iALS: a user's vector is solved for from the history at every request, so that events count at once.

The vector p of a history of items with vectors q is the solution of (a Q^T Q + sum q q^T + r (k + a n) I) p = sum q, as
in the fit: d equations, whatever the number of users; see `recipes.models.ials.als`. Scores are s p·q, plus b for items
of the history. The items' last coordinate is the logarithm of their popularity, which alone counts where there is no
history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, Histories, History
from recipes.models.ials.als import fold_in
from recipes.ports import ScoreDelta

__all__ = ["IALSScorer", "load"]

_ARRAYS: Final = ("item_vectors", "gram", "ials_settings")


class IALSScorer:
    """Scores items by vectors of users that are folded in; a `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, d + 1]: the factors, and log popularity.
        gram: float32 [d, d], a Q^T Q.
        settings: float64 [4]: r, a n, the scale s and the repeat bias b.
    """

    def __init__(self, item_vectors: FloatArray, gram: FloatArray, settings: NDArray[np.float64]) -> None:
        self.item_vectors = item_vectors
        self._gram = gram
        self._settings = settings
        self._regularization, self._unobserved_mass, self._scale, self._repeat_bias = settings.tolist()

    @classmethod
    def of_factors(
        cls,
        items: FloatArray,
        *,
        popularity: FloatArray,
        regularization: float,
        unobserved: float,
        scale: float,
        repeat_bias: float,
    ) -> IALSScorer:
        """Make a scorer of fitted vectors.

        Args:
            items: float32 [n_items, d], the items' factors.
            popularity: float32 [n_items], the logarithm of each item's share of all uses.
            regularization: r in the loss, see `recipes.models.ials.als`.
            unobserved: a in the loss.
            scale: s, what inner products are multiplied by.
            repeat_bias: b, what is added for items of the history.
        """
        settings = np.array([regularization, unobserved * len(items), scale, repeat_bias], np.float64)
        vectors = np.column_stack([items, popularity]).astype(np.float32)
        return cls(vectors, (unobserved * (items.T @ items)).astype(np.float32), settings)

    def embed_history(self, history: History) -> FloatArray:
        """Solve for the vector of the history's different items: float32 [d + 1]."""
        items = np.unique(history.in_catalogue(len(self.item_vectors)).items)
        embedding = np.zeros(self.item_vectors.shape[1], np.float32)
        if not len(items):
            embedding[-1] = 1.0
            return embedding
        embedding[:-1] = self._scale * fold_in(
            self._gram,
            self.item_vectors[items, :-1],
            None,
            regularization=self._regularization,
            unobserved_mass=self._unobserved_mass,
        )
        return embedding

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Solve for the vector of each history: float32 [number of histories, d + 1]."""
        embeddings = [self.embed_history(histories.of(row)) for row in range(len(histories))]
        return np.array(embeddings, np.float32).reshape(len(histories), self.item_vectors.shape[1])

    def score_deltas(self, history: History) -> ScoreDelta:
        """Add the repeat bias to the items of the history."""
        items = np.unique(history.in_catalogue(len(self.item_vectors)).items)
        return ScoreDelta(items, np.full(len(items), self._repeat_bias, np.float32))

    def save(self, folder: Path) -> None:
        """Write vectors, Gram matrix and settings."""
        save_arrays(folder, dict(zip(_ARRAYS, (self.item_vectors, self._gram, self._settings), strict=True)))


def load(folder: Path) -> IALSScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others.
    """
    vectors, gram, settings = map_arrays(folder, _ARRAYS).values()
    width = vectors.shape[-1] - 1
    if vectors.ndim != 2 or gram.shape != (width, width):
        raise CorruptArtifact(f"`gram.npy`: got shape {gram.shape}, want {(width, width)}, as `item_vectors.npy` has")
    if settings.shape != (4,):
        raise CorruptArtifact(f"`ials_settings.npy`: got shape {settings.shape}, want four numbers")
    return IALSScorer(vectors, gram, settings)
