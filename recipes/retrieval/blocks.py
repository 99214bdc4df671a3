"""The best items of many users at once, where lists find them: the stages of a request in one compiled loop.

What an interpreter spends on a request is more than what its arithmetic takes. And where a request multiplies the
vectors of all items of its list and of its deltas, which lie all over memory, here bounds come first: an item whose
product and delta together cannot reach the `depth`-th best is left out, and that are nine of ten. Those that are left
are scored by the functions that score for a request, so that shares have the same bits.

A request looks only at the best `depth` items of a list and at as many more as are lowered. All of a list comes to the
same: an item behind these has `depth` before it that are not lowered, and is not among the best `depth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.ports import ScoreDeltas
from recipes.retrieval.heads import Heads, head_columns, upper_bounds
from recipes.retrieval.lists import ListIndex, joined_lists, nearest_lists
from recipes.retrieval.reaching import lowered_among
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.scan import ScanIndex, turned_query
from recipes.retrieval.top_k import best_shares, reached_by, reached_by_some, reaching

__all__ = ["UNSURE", "BestOfUsers", "BlockSearch"]

#: Count of a user for whom lists are not good for enough.
UNSURE: Final = -1
#: Items that are scored beside the best wanted before it is known what others have to reach.
_MORE: Final = 28


class BestOfUsers(NamedTuple):
    """The best items of n users.

    Attributes:
        counts: int64 [n], how many each has; `UNSURE` for users who are to be answered one by one.
        items: int32 [n, limit], best first.
        shares: float32 [n, limit], of these: exp(score) over the sum of exp(score) of the best.
    """

    counts: NDArray[np.int64]
    items: ItemIndexes
    shares: FloatArray


class _Arrays(NamedTuple):
    """What is read for every user: of `ListIndex`, `Heads` and `ScanIndex`."""

    item_vectors: FloatArray
    centres: FloatArray
    lists: NDArray[np.int32]
    for_queries: FloatArray
    codes: NDArray[np.int8]
    numbers: FloatArray
    scan_centre: FloatArray
    to_rest: NDArray[np.float64]
    item_mean: NDArray[np.float64]
    greatest: NDArray[np.float64]


@compiled
def _candidates(
    listed: ItemIndexes, items: ItemIndexes, values: FloatArray, at: ItemIndexes
) -> tuple[ItemIndexes, FloatArray]:
    """Return a list and the items of deltas, each once, and what is added to each.

    Args:
        listed: int32 [m], all different.
        items: int32 [k], of the deltas, all different.
        values: float32 [k], of the deltas.
        at: int32 [n_items], zeros; zeros again afterwards.
    """
    size = len(listed) + len(items)
    candidates, added = np.empty(size + 1, np.int32), np.zeros(size + 1, np.float32)
    for place in range(len(items)):
        at[np.uint32(items[place])] = place + 1
    for place in range(len(listed)):
        item = np.uint32(listed[place])
        candidates[place] = listed[place]
        if at[item] > 0:
            added[place] = values[at[item] - 1]
            at[item] = 0
    count = len(listed)
    for place in range(len(items)):
        item = np.uint32(items[place])
        candidates[count], added[count] = items[place], values[place]  # written over where the list has it
        count += at[item] > 0
        at[item] = 0
    return candidates[:count], added[:count]


@compiled
def _scores(item_vectors: FloatArray, items: ItemIndexes, added: FloatArray, query: FloatArray) -> FloatArray:
    scores = inner_products(item_vectors, items, query)
    for place in range(len(scores)):
        scores[place] += added[place]
    return scores


@compiled
def _best_scored(
    item_vectors: FloatArray,
    query: FloatArray,
    candidates: ItemIndexes,
    added: FloatArray,
    upper: FloatArray,
    depth: int,
) -> tuple[ItemIndexes, FloatArray]:
    """Return the best `depth` candidates and all that score as much as the last: int32, ascending, and their scores.

    Args:
        item_vectors: float32 [n_items, d].
        query: float32 [d].
        candidates: int32 [k], all different, at least `depth`.
        added: float32 [k], what is added to the product of each.
        upper: float32 [k], what the product of each is at most.
        depth: Best items wanted, at least 1.
    """
    for place in range(len(upper)):
        upper[place] += added[place]
    # First those that promise most: the others have to reach the last of the best of these.
    promised = reached_by_some(upper, min(len(upper), depth + _MORE))
    first = reaching(upper, promised)
    first_scores = _scores(item_vectors, candidates[first], added[first], query)
    later = reaching(upper, reached_by(first_scores, depth))
    later = later[upper[later] < promised]
    scores = np.concatenate((first_scores, _scores(item_vectors, candidates[later], added[later], query)))
    items = np.concatenate((candidates[first], candidates[later]))
    least = reached_by(scores, depth)
    kept = 0
    for place in range(len(scores)):
        items[kept], scores[kept] = items[place], scores[place]
        kept += scores[place] >= least
    order = np.argsort(items[:kept])
    return items[order], scores[order]


@compiled
def _is_good(
    item_vectors: FloatArray,
    listed: ItemIndexes,
    query: FloatArray,
    items: ItemIndexes,
    values: FloatArray,
    limit: int,
    depth: int,
    good_for: int,
) -> bool:
    """Return whether a list is deep enough for what is lowered; see `inference.stages.retrieve`."""
    lowered = 0
    for place in range(len(values)):
        lowered += values[place] < 0.0
    if depth + lowered >= len(item_vectors):
        return False
    if limit + lowered <= good_for:
        return True
    products = inner_products(item_vectors, listed, query)
    return limit + lowered_among(listed, products, items, values, limit) <= good_for


@compiled
def _best_in_lists(
    arrays: _Arrays,
    queries: FloatArray,
    offsets: NDArray[np.int64],
    delta_items: ItemIndexes,
    delta_values: FloatArray,
    columns: int,
    padded: int,
    probes: int,
    limit: int,
    shared: int,
    good_for: int,
) -> tuple[NDArray[np.int64], ItemIndexes, FloatArray]:
    n_users, n_items, head = len(queries), len(arrays.item_vectors), np.zeros(padded, np.float32)
    counts, best = np.full(n_users, UNSURE), np.zeros((n_users, limit), np.int32)
    shares, at, depth = np.zeros((n_users, limit), np.float32), np.zeros(n_items, np.int32), max(limit, shared)
    for user in range(n_users):
        query, begin, end = queries[user], offsets[user], offsets[user + 1]
        items, values = delta_items[begin:end], delta_values[begin:end]
        listed = joined_lists(arrays.lists, nearest_lists(arrays.centres, arrays.for_queries, query, probes)[0])
        if not _is_good(arrays.item_vectors, listed, query, items, values, limit, depth, good_for):
            continue
        candidates, added = _candidates(listed, items, values, at)
        if len(candidates) < depth:
            continue
        narrow, head_length, tail_length, of_mean, rounding = turned_query(
            query, arrays.scan_centre, arrays.to_rest, arrays.item_mean, arrays.greatest, columns
        )
        head[:columns] = narrow
        # Rounding once more, so that bounds are not below what products are rounded to.
        base = np.float32(of_mean + 3.0 * rounding)
        upper = upper_bounds(arrays.codes, arrays.numbers, candidates, head, head_length, tail_length, base)
        shortlist, scores = _best_scored(arrays.item_vectors, query, candidates, added, upper, depth)
        places, _, of_places, _ = best_shares(scores, limit, min(shared, len(scores)))
        counts[user] = len(places)
        for place in range(len(places)):
            best[user, place], shares[user, place] = shortlist[places[place]], of_places[place]
    return counts, best, shares


@dataclass(frozen=True, slots=True, eq=False)
class BlockSearch:
    """Finds the best items of users many at once; used by any thread.

    Attributes:
        index: Has the lists.
        columns: Of the heads, without empty ones.
        arrays: What is read.
    """

    index: ListIndex
    columns: int
    arrays: _Arrays

    @classmethod
    def of(cls, index: ListIndex, scan: ScanIndex) -> Self:
        """Make it of the lists and the scan of one catalogue: memory for 64 bytes an item, or a multiple."""
        arrays = _Arrays(
            index.item_vectors,
            index.centres,
            index.lists,
            index.transform.for_queries,
            *Heads.of(scan),
            scan.parts.centre,
            scan.to_rest,
            scan.item_mean,
            scan.parts.greatest,
        )
        return cls(index, scan.parts.codes.shape[1], arrays)

    def best(self, queries: FloatArray, deltas: ScoreDeltas, *, limit: int, shared: int, good_for: int) -> BestOfUsers:
        """Find the best items of users, and their shares.

        Args:
            queries: float32 [n, d], C order.
            deltas: Of the same users.
            limit: Items wanted of each, 1 to `good_for`.
            shared: Best items that shares are taken over.
            good_for: How many of the best the index is good for.
        """
        return BestOfUsers(
            *_best_in_lists(
                self.arrays,
                queries,
                deltas.offsets,
                deltas.items,
                deltas.values,
                self.columns,
                head_columns(self.columns),
                self.index.probes,
                limit,
                shared,
                good_for,
            )
        )
