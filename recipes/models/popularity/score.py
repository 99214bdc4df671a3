"""Serving Popularity-Count: vectors of one coordinate, the count, and the same query for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, Histories, History
from recipes.ports import ScoreDelta

__all__ = ["PopularityScorer", "load"]


class PopularityScorer:
    """Scores items by their number of users; a `recipes.ports.ItemScorer`.

    Repeats are as welcome as anything else: the list is the same for everyone, as in Personalize.

    Args:
        item_vectors: float32 [n_items, 1], distinct users of each item.
    """

    def __init__(self, item_vectors: FloatArray) -> None:
        self.item_vectors = item_vectors

    def embed_history(self, history: History) -> FloatArray:  # noqa: ARG002 -- the port's signature
        """Return the one query: float32 [1]."""
        return np.ones(1, np.float32)

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the one query for each history: float32 [number of histories, 1]."""
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history: History) -> ScoreDelta:  # noqa: ARG002 -- the port's signature
        """Return no deltas: a history changes no score here."""
        return ScoreDelta.nothing()

    def save(self, folder: Path) -> None:
        """Write the item vectors."""
        save_arrays(folder, {"item_vectors": self.item_vectors})


def load(folder: Path) -> PopularityScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: The file is missing, cannot be read or has another shape.
    """
    vectors = map_arrays(folder, ["item_vectors"])["item_vectors"]
    if vectors.ndim != 2 or vectors.shape[1] != 1:
        raise CorruptArtifact(f"`item_vectors.npy`: got shape {vectors.shape}, want one column")
    return PopularityScorer(vectors)
