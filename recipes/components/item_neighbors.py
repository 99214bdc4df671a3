"""Serving neighbours: vectors of one coordinate, popularity, and an adjustment that puts neighbours before it.

A list is ordered by the neighbours' summed weights, then by popularity, then come neighbours that the history speaks
against, and last the items of the history itself, which are what is asked about and no answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.data.arrays import map_arrays, save_arrays
from recipes.data.cooccurrence import Cooccurrence
from recipes.data.histories import FloatArray, Histories, History
from recipes.ports import ScoreDelta

__all__ = ["ItemNeighborsScorer", "load", "popularity_vectors"]

#: Score of the most popular item without a neighbour in the history. Small, so that adding and taking away leaves the
#: digits of the weights.
_POPULAR = 2.0**-10
#: Score of items of the history: below whatever weights add up to.
_LAST = -1e6
#: Catalogues up to this size are added up in one array of all items, which is faster than sorting the neighbours.
_DENSE = 50_000

_ARRAYS = ("item_vectors", "neighbour_offsets", "neighbour_items", "neighbour_weights")


class ItemNeighborsScorer:
    """See `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, 1], from `popularity_vectors`.
        neighbours: Row i: the neighbours of item i; without a diagonal.
    """

    def __init__(self, item_vectors: FloatArray, neighbours: Cooccurrence) -> None:
        self.item_vectors = item_vectors
        self.neighbours = neighbours

    def embed_history(self, history: History) -> FloatArray:  # noqa: ARG002 -- the port's signature
        """Return the one query: float32 [1]."""
        return np.ones(1, np.float32)

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the one query for each history: float32 [number of histories, 1]."""
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history: History) -> ScoreDelta:
        """Score the neighbours of the history's different items by the sum of their weights."""
        own = np.unique(history.known(len(self.item_vectors)).items)
        if not len(own):
            return ScoreDelta.nothing()
        items, sums = self._sums(own)
        scores = np.where(sums > 0.0, sums + np.float32(_POPULAR), sums)
        others = np.isin(items, own, invert=True)
        changed = np.concatenate([items[others], own])
        wanted = np.concatenate([scores[others], np.full(len(own), _LAST, np.float32)])
        return ScoreDelta(changed, wanted - self.item_vectors[changed, 0])

    def save(self, folder: Path) -> None:
        """Write vectors and neighbours."""
        rows = self.neighbours
        own = (self.item_vectors, rows.offsets, rows.columns, rows.values)
        save_arrays(folder, dict(zip(_ARRAYS, own, strict=True)))

    def _sums(self, own: NDArray[np.int32]) -> tuple[NDArray[np.int32], FloatArray]:
        """Add up the weights of the neighbours of some items: their neighbours, all different, and the sums."""
        offsets = self.neighbours.offsets
        spans = [slice(int(offsets[item]), int(offsets[item + 1])) for item in own]
        items = np.concatenate([self.neighbours.columns[span] for span in spans])
        weights = np.concatenate([self.neighbours.values[span] for span in spans])
        if len(own) == 1:
            return items, weights
        n_items = len(self.item_vectors)
        if n_items <= _DENSE:
            totals = np.bincount(items, weights=weights, minlength=n_items)
            touched = np.flatnonzero(totals)
            return touched.astype(np.int32), totals[touched].astype(np.float32)
        found, inverse = np.unique(items, return_inverse=True)
        return found, np.bincount(inverse, weights=weights, minlength=len(found)).astype(np.float32)


def popularity_vectors(users: NDArray[np.integer]) -> FloatArray:
    """Turn the number of users of each item, int [n_items], into item vectors: float32 [n_items, 1], 0 to 2^-10."""
    most = max(1, int(users.max(initial=0)))
    return (users[:, None] * (_POPULAR / most)).astype(np.float32)


def load(folder: Path) -> ItemNeighborsScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit.
    """
    arrays = map_arrays(folder, _ARRAYS)
    vectors, offsets, items, weights = (arrays[name] for name in _ARRAYS)
    if vectors.ndim != 2 or vectors.shape[1] != 1:
        raise CorruptArtifact(f"`item_vectors.npy`: got shape {vectors.shape}, want one column")
    if offsets.shape != (len(vectors) + 1,) or items.shape != weights.shape or int(offsets[-1]) != len(items):
        raise CorruptArtifact(f"`neighbour_offsets.npy`: got shape {offsets.shape}, want {len(vectors) + 1} places")
    return ItemNeighborsScorer(vectors, Cooccurrence(offsets, items, weights))
