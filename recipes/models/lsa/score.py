"""Serving Semantic-Similarity: the cosine of texts, and as much of freshness and popularity as the campaign configures.

The last two coordinates of an item's vector are its freshness and its popularity, so how much they count is said by
the query: score = cosine + f * freshness + p * popularity, with f and p from 0 to 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.errors import CorruptArtifact
from recipes.data.arrays import map_arrays, save_arrays
from recipes.data.histories import FloatArray, Histories, History
from recipes.ports import ScoreDelta

__all__ = ["EXTRA", "LSAScorer", "load"]

#: Coordinates behind those of the text.
EXTRA = 2
#: Subtracted from the scores of the history's items, which are no answer to themselves: more than any score.
_LAST = 1e6
#: Weight of freshness where the history has no text and popularity decides.
_TIE = 2.0**-10


class LSAScorer:
    """Scores items by likeness of their texts; a `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, c + 2]: the text, of length 1 or 0; freshness and popularity, 0 to 1.
        freshness: f, 0 to 1.
        popularity: p, 0 to 1.
    """

    def __init__(self, item_vectors: FloatArray, *, freshness: float = 0.0, popularity: float = 0.0) -> None:
        self.item_vectors = item_vectors
        self._influence = np.array([freshness, popularity], np.float32)

    def influenced(self, *, freshness: float, popularity: float) -> LSAScorer:
        """Return the same items with other weights."""
        return LSAScorer(self.item_vectors, freshness=freshness, popularity=popularity)

    def embed_history(self, history: History) -> FloatArray:
        """Return the mean text of the history's different items: float32 [c + 2]; popular items for none."""
        items = np.unique(history.in_catalogue(len(self.item_vectors)).items)
        query = np.zeros(self.item_vectors.shape[1], np.float32)
        query[:-EXTRA] = self.item_vectors[items, :-EXTRA].sum(axis=0)
        length = np.linalg.norm(query)
        if length == 0.0:
            query[-EXTRA:] = (_TIE, 1.0)
            return query
        query /= length
        query[-EXTRA:] = self._influence
        return query

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the query of each history: float32 [number of histories, c + 2]."""
        embeddings = [self.embed_history(histories.of(row)) for row in range(len(histories))]
        return np.array(embeddings, np.float32).reshape(len(histories), self.item_vectors.shape[1])

    def score_deltas(self, history: History) -> ScoreDelta:
        """Put the items of the history last."""
        items = np.unique(history.in_catalogue(len(self.item_vectors)).items)
        return ScoreDelta(items, np.full(len(items), -_LAST, np.float32))

    def save(self, folder: Path) -> None:
        """Write the vectors; influence belongs to campaigns, not to the model."""
        save_arrays(folder, {"item_vectors": self.item_vectors})


def load(folder: Path) -> LSAScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: The file is missing, cannot be read or has another form.
    """
    vectors = map_arrays(folder, ("item_vectors",))["item_vectors"]
    if vectors.ndim != 2 or vectors.shape[1] < EXTRA:
        raise CorruptArtifact(f"`item_vectors.npy`: got shape {vectors.shape}, want at least {EXTRA} columns")
    return LSAScorer(vectors)
