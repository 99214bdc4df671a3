"""Approximate search in a forest of random hyperplane trees, mapped from one file by every process that serves.

Annoy finds the smallest angles, serving wants the largest inner products. One more coordinate makes them the same
(Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product Spaces",
RecSys 2014): with m the largest norm of an item vector, v becomes (v, sqrt(m^2 - |v|^2)) and the query (q, 0). All
items then have the norm m, and the inner products are unchanged, so the order by angle is the order by inner product.
(Annoy's own `dot` metric finds fewer of the right items.)

The longer the longest items are beside the others, the less is left of the angles between the others. So the longest
ones, the head, may stay out of the forest and are scored exactly, all of them, at each search; and vectors may be moved
first, which makes lengths more alike (`recipes.retrieval.transforms`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import annoy
import numpy as np

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.interface import Nearest
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.top_k import top_k
from recipes.retrieval.transforms import Transform

__all__ = ["DEFAULT_TREES", "AnnoyIndex", "build_annoy", "with_extra_coordinate"]

DEFAULT_TREES: Final = 40
_PREFIX: Final = "forest"
_FILE: Final = "forest.ann"
_ARRAYS: Final = ("items", "head_items", "head_vectors", "max_norm")


def with_extra_coordinate(item_vectors: FloatArray) -> FloatArray:
    """Append the coordinate that gives all vectors one norm.

    Returns:
        float32 [n_items, d + 1].
    """
    squares = np.square(item_vectors.astype(np.float64)).sum(axis=1)
    rest = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))
    return np.concatenate([item_vectors, rest[:, None].astype(np.float32)], axis=1)


def build_annoy(
    item_vectors: FloatArray,
    folder: Path,
    *,
    transform: Transform,
    seed: int,
    trees: int = DEFAULT_TREES,
    head: int = 0,
) -> None:
    """Build the forest of a catalogue and write it to new files.

    One thread builds it, so that the same vectors and seed give the same bytes.

    Args:
        item_vectors: float32 [n_items, d].
        folder: Existing, without a forest: replacing a mapped file kills who maps it.
        transform: The coordinates to build in.
        seed: Of the hyperplanes.
        trees: More find more and take more disk.
        head: So many of the longest items, in those coordinates, stay out of the forest.
    """
    moved = transform.items(item_vectors)
    lengths = np.linalg.norm(moved, axis=1)
    longest_first = np.argsort(-lengths, kind="stable").astype(np.int32)
    head_items, items = np.sort(longest_first[:head]), np.sort(longest_first[head:])
    extended = with_extra_coordinate(moved[items].astype(np.float32))
    forest = annoy.AnnoyIndex(extended.shape[1], "angular")
    forest.set_seed(seed)
    for place, vector in enumerate(extended):
        forest.add_item(place, vector.tolist())
    forest.build(trees, n_jobs=1)
    forest.save(str(folder / _FILE))
    transform.save(folder, _PREFIX)
    max_norm = lengths[items].max(initial=0.0) * (1 + 1e-5)
    save_arrays(
        folder,
        {
            f"{_PREFIX}_items": items,
            f"{_PREFIX}_head_items": head_items,
            f"{_PREFIX}_head_vectors": item_vectors[head_items],
            f"{_PREFIX}_max_norm": np.array([max_norm], np.float32),
        },
    )


class AnnoyIndex:
    """Searches a forest and scores the head beside it; see `recipes.retrieval.interface.ItemIndex`.

    Args:
        folder: Where `build_annoy` wrote.
        item_vectors: float32 [n_items, d], those that it was built from.
        search_k: Nodes inspected in one search at least; more find more and take longer.

    Raises:
        CorruptArtifact: A file cannot be read or was built from another catalogue.
    """

    def __init__(self, folder: Path, item_vectors: FloatArray, *, search_k: int) -> None:
        n_items, width = item_vectors.shape
        arrays = map_arrays(folder, [f"{_PREFIX}_{name}" for name in _ARRAYS])
        self._items, self._head_items, self._head_vectors, max_norm = (arrays[f"{_PREFIX}_{name}"] for name in _ARRAYS)
        self._transform = Transform.load(folder, _PREFIX, width=width)
        forest = annoy.AnnoyIndex(width + 1, "angular")
        try:
            forest.load(str(folder / _FILE))
        except OSError as error:
            raise CorruptArtifact(f"index file {_FILE}: {error}") from error
        sizes = (forest.get_n_items(), len(self._head_items))
        if sizes != (len(self._items), len(self._head_vectors)) or sum(sizes) != n_items:
            raise CorruptArtifact(f"index file {_FILE}: got {sum(sizes)} items, want {n_items}")
        for name, items in (("items", self._items), ("head_items", self._head_items)):
            if len(items) and not 0 <= int(items.min()) <= int(items.max()) < n_items:
                raise CorruptArtifact(f"`{_PREFIX}_{name}.npy`: got items out of range, want 0 to {n_items - 1}")
        self._forest = forest
        self._max_norm = float(max_norm[0])
        self._item_vectors = item_vectors
        self._search_k = search_k

    def nearest(self, query: FloatArray, limit: int) -> Nearest:
        """Find items of large inner products, most often the largest."""
        moved = self._transform.queries(query)
        places = self._forest.get_nns_by_vector([*moved.tolist(), 0.0], limit, self._search_k)
        items: ItemIndexes = self._items[places]
        if len(self._head_items):
            # Products are good enough to choose by: what is found is scored again.
            head = top_k(self._head_vectors @ query, limit)
            items = np.concatenate([self._head_items[head], items])
        scores = inner_products(self._item_vectors, items, query)
        best = top_k(scores, limit)
        return Nearest(items[best], self._proves(query, moved, scores[best], limit))

    def _proves(self, query: FloatArray, moved: FloatArray, scores: FloatArray, limit: int) -> bool:
        """Tell whether no item of the forest can be better than the last of the best."""
        if len(scores) == len(self._item_vectors):
            return True
        bound = self._max_norm * float(np.sqrt(np.dot(moved, moved)))
        return len(scores) == limit and float(scores[-1]) - float(np.dot(query, self._transform.mean)) >= bound
