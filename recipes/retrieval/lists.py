"""Search in lists made beforehand: users alike want alike items, so each cluster of users has a list of its best items.

Users' vectors are clustered by their directions, as the length of a query changes no order. A query looks at the lists
of the nearest clusters and scores what they hold exactly. An item outside a list scores at most t with the list's
centre c; the query is a c + r, with a not negative, so the item scores at most a t + |r| x (greatest length of an
item), in coordinates where lengths are short. An answer whose last score reaches that is proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.compiled import compiled, compiled_sums
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.interface import Nearest
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.top_k import reached_by
from recipes.retrieval.transforms import Transform

__all__ = ["ListIndex", "build_lists", "joined_lists", "nearest_lists"]

_PREFIX: Final = "lists"
_ROUNDS: Final = 8
#: Clusters whose lists are made at once.
_AT_ONCE: Final = 16


def build_lists(
    item_vectors: FloatArray,
    user_vectors: FloatArray,
    folder: Path,
    *,
    transform: Transform,
    clusters: int,
    length: int,
    seed: int,
) -> None:
    """Cluster users and write each cluster's list into an existing folder.

    Args:
        item_vectors: float32 [n_items, d].
        user_vectors: float32 [m, d], of the users to cluster, at least one.
        folder: Of the artifact.
        transform: The coordinates in which users are compared.
        clusters: Clusters wanted, `m` at most.
        length: Items of a list, `n_items` at most.
        seed: Of the first centres.
    """
    length = min(length, len(item_vectors))
    centres = _cluster(_directions(transform.queries(user_vectors)), clusters, seed=seed)
    moved = transform.items(item_vectors).astype(np.float32)
    lists = np.empty((len(centres), length), np.int32)
    bounds = np.empty(len(centres), np.float32)
    for begin in range(0, len(centres), _AT_ONCE):
        scores = centres[begin : begin + _AT_ONCE] @ moved.T
        for row, line in enumerate(scores, start=begin):
            best = np.argpartition(-line, length - 1)[:length]
            # What is outside scores at most what the last inside does.
            bounds[row] = line[best].min() if length < len(line) else -np.inf
            lists[row] = np.sort(best)
    max_norm = np.array([np.linalg.norm(moved.astype(np.float64), axis=1).max(initial=0.0) * (1 + 1e-5)], np.float32)
    transform.save(folder, _PREFIX)
    save_arrays(
        folder,
        {
            f"{_PREFIX}_centres": centres,
            f"{_PREFIX}_items": lists,
            f"{_PREFIX}_bounds": bounds,
            f"{_PREFIX}_max_norm": max_norm,
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class ListIndex:
    """Scores the lists of the clusters that a query is nearest to; see `recipes.retrieval.interface.ItemIndex`.

    Attributes:
        item_vectors: float32 [n_items, d].
        centres: float32 [clusters, d], of length 1.
        lists: int32 [clusters, length], items of each, ascending.
        bounds: float32 [clusters], what an item outside of a list scores at most with its centre.
        max_norm: The greatest length of an item, in the coordinates of the centres.
        transform: Of the queries.
        probes: Lists that are looked at.
    """

    item_vectors: FloatArray
    centres: FloatArray
    lists: NDArray[np.int32]
    bounds: FloatArray
    max_norm: np.float32
    transform: Transform
    probes: int

    @classmethod
    def open(cls, folder: Path, item_vectors: FloatArray, *, probes: int) -> ListIndex:
        """Map what `build_lists` wrote.

        Raises:
            CorruptArtifact: A file is missing, unreadable or of another catalogue.
        """
        n_items, width = item_vectors.shape
        names = [f"{_PREFIX}_{name}" for name in ("centres", "items", "bounds", "max_norm")]
        arrays = map_arrays(folder, names)
        centres, lists, bounds, max_norm = (arrays[name] for name in names)
        if centres.shape != (len(lists), width) or bounds.shape != (len(lists),) or max_norm.shape != (1,):
            raise CorruptArtifact(
                f"`{_PREFIX}_centres.npy`: got {centres.shape}, want {(len(lists), width)}, as the other files tell"
            )
        if not lists.size or int(lists.min()) < 0 or int(lists.max()) >= n_items:
            raise CorruptArtifact(f"`{_PREFIX}_items.npy`: got items out of range, want 0 to {n_items - 1}")
        if probes < 1:
            raise CorruptArtifact(f"`probes`: got {probes}, want 1 at least")
        transform = Transform.load(folder, _PREFIX, width=width)
        return cls(item_vectors, centres, lists, bounds, max_norm[0], transform, min(probes, len(lists)))

    def nearest(self, query: FloatArray, limit: int) -> Nearest:
        """Find items of large inner products in the lists of the nearest clusters."""
        items, least, bound = _probe(
            self.item_vectors,
            self.centres,
            self.lists,
            self.bounds,
            self.max_norm,
            self.transform.for_queries,
            query,
            self.probes,
            limit,
        )
        proven = len(items) == len(self.item_vectors) or (
            len(items) == limit and least - np.dot(query, self.transform.mean) >= bound
        )
        return Nearest(items, proven=bool(proven))


def _directions(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: FloatArray = (vectors / np.where(lengths > 0.0, lengths, 1.0)).astype(np.float32)
    return directions


def _cluster(directions: FloatArray, clusters: int, *, seed: int) -> FloatArray:
    """Return the centres of clusters, float32 [up to clusters, d], each of length 1 (spherical k-means)."""
    first = np.random.default_rng(seed).permutation(len(directions))[:clusters]
    centres = directions[np.sort(first)]
    for _ in range(_ROUNDS):
        nearest = np.concatenate(
            [(directions[begin : begin + 4096] @ centres.T).argmax(axis=1) for begin in range(0, len(directions), 4096)]
        )
        sums = np.zeros((len(centres), directions.shape[1]), np.float64)
        np.add.at(sums, nearest, directions)
        filled = np.linalg.norm(sums, axis=1) > 0.0
        centres = _directions(sums[filled].astype(np.float32))
    return centres


@compiled_sums
def nearest_lists(
    centres: FloatArray, for_queries: FloatArray, query: FloatArray, probes: int
) -> tuple[NDArray[np.int64], FloatArray, np.float32]:
    """Find the clusters that a query is nearest to.

    Args:
        centres: float32 [clusters, d].
        for_queries: float32 [d, d], to the coordinates of the centres.
        query: float32 [d].
        probes: Clusters wanted, no more than there are.

    Returns:
        int64 [probes], the nearest first; float32 [probes], the product of each centre with the query in these
        coordinates; and the square of the query's length there.
    """
    width = len(query)
    moved = np.zeros(width, np.float32)
    for row in range(width):
        for column in range(width):
            moved[column] += query[row] * for_queries[row, column]
    nearness = np.empty(len(centres), np.float32)
    for row in range(len(centres)):
        total = np.float32(0.0)
        for column in range(width):
            total += centres[row, column] * moved[column]
        nearness[row] = total
    square = np.float32(0.0)
    for column in range(width):
        square += moved[column] * moved[column]
    clusters, products = np.empty(probes, np.int64), np.empty(probes, np.float32)
    for probe in range(probes):
        clusters[probe] = np.argmax(nearness)
        products[probe] = nearness[clusters[probe]]
        nearness[clusters[probe]] = -np.inf
    return clusters, products, square


@compiled
def joined_lists(lists: NDArray[np.int32], clusters: NDArray[np.int64]) -> ItemIndexes:
    """Return the items of the lists of some clusters, at least one: int32, ascending, all different."""
    items: ItemIndexes = lists[clusters[0]].copy()
    for cluster in clusters[1:]:
        items = _union(items, lists[cluster])
    return items


@compiled
def _probe(
    item_vectors: FloatArray,
    centres: FloatArray,
    lists: NDArray[np.int32],
    bounds: FloatArray,
    max_norm: np.float32,
    for_queries: FloatArray,
    query: FloatArray,
    probes: int,
    limit: int,
) -> tuple[ItemIndexes, np.float32, np.float32]:
    """Return the best items of the nearest lists, the score of the last, and what any other item scores at most."""
    clusters, products, square = nearest_lists(centres, for_queries, query, probes)
    bound = np.float32(np.inf)
    for probe in range(probes):
        along = max(products[probe], np.float32(0.0))
        # A little more than the root, for what rounding takes off.
        across = np.sqrt(max(square - along * along, np.float32(0.0)) + np.float32(1e-5) * square)
        bound = min(bound, along * bounds[clusters[probe]] + across * max_norm)
    candidates = joined_lists(lists, clusters)
    scores = inner_products(item_vectors, candidates, query)
    if limit >= len(candidates):
        return candidates, scores.min(), bound
    least = reached_by(scores, limit)
    best = np.empty(limit, np.int32)
    count = 0
    for place in range(len(candidates)):
        if scores[place] > least:
            best[count] = candidates[place]
            count += 1
    for place in range(len(candidates)):
        if scores[place] == least and count < limit:
            best[count] = candidates[place]
            count += 1
    return best, least, bound


@compiled
def _union(left: ItemIndexes, right: ItemIndexes) -> ItemIndexes:
    """Merge two ascending lists of different items."""
    merged = np.empty(len(left) + len(right), np.int32)
    i = j = count = 0
    while i < len(left) and j < len(right):
        merged[count] = min(left[i], right[j])
        count += 1
        smallest = merged[count - 1]
        i += left[i] == smallest
        j += right[j] == smallest
    while i < len(left):
        merged[count] = left[i]
        i, count = i + 1, count + 1
    while j < len(right):
        merged[count] = right[j]
        j, count = j + 1, count + 1
    return merged[:count]
