"""Serving neighbours: vectors of one coordinate, popularity, and score deltas that put neighbours before it.

A list is ordered by the neighbours' summed weights, then by popularity, then come neighbours that the history speaks
against, and last the items of the history itself, whose neighbours are listed and not they.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.data.sparse import SparseRows
from recipes.ports import ScoreDelta

__all__ = ["ItemNeighborsScorer", "different", "load", "popularity_vectors"]

#: Score of the most popular item without a neighbour in the history. Small, so that adding and taking away leaves the
#: digits of the weights.
_POPULAR = 2.0**-10
#: Score of items of the history: below whatever weights add up to.
_LAST = -1e6

#: Neighbours, int32 [k], all different, and their weights, float32 [k].
_Row = tuple[ItemIndexes, FloatArray]
_ARRAYS = ("item_vectors", "neighbour_offsets", "neighbour_items", "neighbour_weights")


class ItemNeighborsScorer:
    """Scores the neighbours of an item, and all others by popularity; a `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, 1], from `popularity_vectors`.
        neighbours: [n_items, n_items], row i: the neighbours of item i and their weights; without a diagonal.
        max_dense_items: Up to so many items weights are added up in one array of all items, which is faster than
            sorting the neighbours.
    """

    def __init__(self, item_vectors: FloatArray, neighbours: SparseRows, *, max_dense_items: int = 50_000) -> None:
        self.item_vectors = item_vectors
        self.neighbours = neighbours
        self._max_dense_items = max_dense_items

    def embed_history(self, history: History) -> FloatArray:  # noqa: ARG002 -- the port's signature
        """Return the vector of every history, 1: float32 [1]."""
        return np.ones(1, np.float32)

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the vector of every history, 1, for each: float32 [number of histories, 1]."""
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history: History) -> ScoreDelta:
        """Score the neighbours of the history's different items by the sum of their weights."""
        used = different(history.in_catalogue(len(self.item_vectors)).items)
        return self._changed(used, [self._row(item) for item in used.tolist()])

    def save(self, folder: Path) -> None:
        """Write vectors and neighbours."""
        rows = self.neighbours
        arrays = (self.item_vectors, rows.offsets, rows.columns, rows.values)
        save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))

    def _row(self, item: int) -> _Row:
        """Return the neighbours of an item."""
        span = self.neighbours.span(item)
        return self.neighbours.columns[span], self.neighbours.values[span]

    def _changed(self, used: ItemIndexes, rows: Sequence[_Row]) -> ScoreDelta:
        """Put the items of some rows first, by their sums, and those that were used last.

        Args:
            used: int32 [k], ascending, all different.
            rows: Of neighbours.
        """
        if not rows:
            return ScoreDelta.nothing()
        items, sums = self._sums(rows)
        scores = np.where(sums > 0.0, sums + np.float32(_POPULAR), sums)
        others = np.isin(items, used, invert=True)
        changed = np.concatenate([items[others], used])
        totals = np.concatenate([scores[others], np.full(len(used), _LAST, np.float32)])
        return ScoreDelta(changed, totals - self.item_vectors[changed, 0])

    def _sums(self, rows: Sequence[_Row]) -> _Row:
        """Add up the weights of neighbours: these, all different, and the sums."""
        if len(rows) == 1:
            return rows[0]
        items = np.concatenate([neighbours for neighbours, _ in rows])
        weights = np.concatenate([weights for _, weights in rows])
        n_items = len(self.item_vectors)
        if n_items <= self._max_dense_items:
            totals = np.bincount(items, weights=weights, minlength=n_items)
            touched = np.flatnonzero(totals)
            return touched.astype(np.int32), totals[touched].astype(np.float32)
        different, inverse = np.unique(items, return_inverse=True)
        return different, np.bincount(inverse, weights=weights, minlength=len(different)).astype(np.float32)


def different(items: ItemIndexes) -> ItemIndexes:
    """Return the different ones of some items, int32 [n], ascending; requests have one."""
    return items if len(items) < 2 else np.unique(items)


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
    return ItemNeighborsScorer(vectors, SparseRows(offsets, items, weights))
