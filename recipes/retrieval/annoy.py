"""Approximate search in a forest of random hyperplane trees, mapped from one file by every process that serves.

Annoy finds the smallest angles, serving wants the largest inner products. One more coordinate makes them the same
(Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product Spaces",
RecSys 2014): with m the largest norm of an item vector, v becomes (v, sqrt(m^2 - |v|^2)) and the query (q, 0). All
items then have the norm m, and the inner products are unchanged, so the order by angle is the order by inner product.
(Annoy's own `dot` metric finds fewer of the right items.)
"""

from __future__ import annotations

from pathlib import Path

import annoy
import numpy as np

from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["DEFAULT_TREES", "AnnoyIndex", "build_annoy", "with_extra_coordinate"]

DEFAULT_TREES = 40


def with_extra_coordinate(item_vectors: FloatArray) -> FloatArray:
    """Append the coordinate that gives all vectors one norm.

    Returns:
        float32 [n_items, d + 1].
    """
    squares = np.square(item_vectors.astype(np.float64)).sum(axis=1)
    rest = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))
    return np.concatenate([item_vectors, rest[:, None].astype(np.float32)], axis=1)


def build_annoy(item_vectors: FloatArray, path: Path, *, seed: int, trees: int = DEFAULT_TREES) -> None:
    """Build the forest of a catalogue and write it to a new file.

    One thread builds it, so that the same vectors and seed give the same bytes.

    Args:
        item_vectors: float32 [n_items, d].
        path: Of the file. Never one that may be open: replacing a mapped file kills who maps it.
        seed: Of the hyperplanes.
        trees: More find more and take more disk.
    """
    extended = with_extra_coordinate(item_vectors)
    forest = annoy.AnnoyIndex(extended.shape[1], "angular")
    forest.set_seed(seed)
    for item, vector in enumerate(extended):
        forest.add_item(item, vector.tolist())
    forest.build(trees, n_jobs=1)
    forest.save(str(path))


class AnnoyIndex:
    """Searches a forest and scores what it finds exactly; see `recipes.retrieval.interface.ItemIndex`.

    Args:
        path: Of a file that `build_annoy` wrote.
        item_vectors: float32 [n_items, d], those that it was built from.
        search_k: Nodes inspected in one search at least; more find more and take longer.

    Raises:
        CorruptArtifact: The file cannot be read or was built from another catalogue.
    """

    def __init__(self, path: Path, item_vectors: FloatArray, *, search_k: int) -> None:
        forest = annoy.AnnoyIndex(item_vectors.shape[1] + 1, "angular")
        try:
            forest.load(str(path))
        except OSError as error:
            raise CorruptArtifact(f"index file {path.name}: {error}") from error
        if forest.get_n_items() != len(item_vectors):
            raise CorruptArtifact(f"index file {path.name}: got {forest.get_n_items()} items, want {len(item_vectors)}")
        self._forest = forest
        self._item_vectors = item_vectors
        self._search_k = search_k

    def nearest(self, query: FloatArray, limit: int) -> ItemIndexes:
        """Find items of large inner products, without scoring them."""
        return np.array(self._forest.get_nns_by_vector([*query.tolist(), 0.0], limit, self._search_k), np.int32)

    def search(self, query: FloatArray, limit: int) -> tuple[ItemIndexes, FloatArray]:
        """Find items of large inner products, most often the largest."""
        items = self.nearest(query, limit)
        scores: FloatArray = self._item_vectors[items] @ query
        order = np.lexsort((items, -scores))
        return items[order], scores[order]
