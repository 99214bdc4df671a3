"""The best of many items for kinds of users, worked out aside, so that a request looks at some hundred items only.

Users of like vectors find like items good: of the lists of the best items of each of 128 clusters of users, the nearest
one holds nearly all of the best items of a user. Scores are those of the request itself; a list says only which items
are worth scoring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.top_k import top_k

__all__ = ["ClusterLists"]

_CLUSTERS: Final = 128
#: Users that clusters are made of, and passes over them.
_USERS, _PASSES = 4_096, 5
#: Scores worked out at once: 16 MiB.
_SCORES: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class ClusterLists:
    """Lists of items for clusters of users.

    Attributes:
        centres: float32 [c, d], the clusters' mean vectors.
        places: int32 [c, l], for each the places of the items that suit it best, ascending.
    """

    centres: FloatArray
    places: ItemIndexes

    @classmethod
    def of_users(cls, embeddings: FloatArray) -> Self:
        """Find clusters of users, with empty lists; the same of the same users.

        Args:
            embeddings: float32 [n, d]; without any there is one cluster, of nobody.
        """
        n_users = len(embeddings)
        step = max(1, -(-n_users // _USERS))
        sample = np.asarray(embeddings[::step], np.float32)
        centres = np.zeros((1, embeddings.shape[1]), np.float32)
        if n_users:
            centres = sample[np.linspace(0, len(sample) - 1, min(_CLUSTERS, len(sample))).astype(np.int64)]
            for _ in range(_PASSES):
                nearest = _nearest(centres, sample)
                sizes = np.bincount(nearest, minlength=len(centres))
                sums = np.zeros_like(centres)
                np.add.at(sums, nearest, sample)
                centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        return cls(centres.astype(np.float32), np.empty((len(centres), 0), np.int32))

    def ranked(self, vectors: FloatArray, *, limit: int, added: FloatArray | None = None) -> Self:
        """Return the same clusters with lists of items.

        Args:
            vectors: float32 [m, d], of the items.
            limit: Items of each list.
            added: float32 [m], what is added to each item's scores; None for nothing.
        """
        lists = np.empty((len(self.centres), min(limit, len(vectors))), np.int32)
        size = max(1, _SCORES // max(1, len(vectors)))
        for begin in range(0, len(self.centres), size):
            scores = self.centres[begin : begin + size] @ vectors.T
            if added is not None:
                scores += added
            for row, of_cluster in enumerate(scores, begin):
                lists[row] = np.sort(top_k(of_cluster, limit))
        return replace(self, places=lists)

    def of(self, embedding: FloatArray) -> ItemIndexes:
        """Return the places of the items that are worth scoring for a user, float32 [d]: int32 [l], ascending."""
        places: ItemIndexes = self.places[_nearest(self.centres, embedding[None])[0]]
        return places


def _nearest(centres: FloatArray, vectors: FloatArray) -> ItemIndexes:
    """Return the nearest centre of each vector: int64 [n]."""
    nearest: ItemIndexes = (vectors @ centres.T - 0.5 * np.square(centres).sum(axis=1)).argmax(axis=1)
    return nearest
