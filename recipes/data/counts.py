"""Counts that several models learn from: users of an item, what follows what, and percentiles of use.

What follows what is never listed: there are twenty pairs for every interaction. Followers are counted item by item, in
one array of all items, and what occurs together is multiplied by vectors while histories are read. So memory is that
of the interactions and of what is kept, and the time grows with the interactions, not with the square of the items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from recipes.data.histories import FloatArray, Histories, ItemIndexes, Offsets
from recipes.data.sparse import SparseRows, leading_subspace
from recipes.data.training_data import TrainingData

__all__ = [
    "StepsOfItems", "cooccurrence_directions", "strongest_followers", "total_cooccurrence", "users_per_item",
    "within_percentiles",
]  # fmt: skip

#: Multiplications of the subspace iteration before the last one.
_PASSES = 4
#: Sums of what occurs with an item up to which float32 does: one more step, which adds at most a few, is added to a
#: hundredth or better. Beyond, steps of very popular items would count less and less, and none from 2 ** 24 on. Models
#: of fewer interactions keep the rounding, and so the bytes, that they have always had.
_EXACT_IN_FLOAT32 = 2.0**18
#: Steps of a history whose vectors are multiplied at once: a history of millions needs no more memory than this.
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class StepsOfItems:
    """Histories by item: where each item occurs, and how far a window reaches there.

    Attributes:
        items: int32 [total], the item of each step.
        offsets: int64 [n_items + 1]; item i occurs at the steps `places[offsets[i]]` to `places[offsets[i + 1] - 1]`.
        places: int32 or int64 [total], steps, ascending for each item.
        before: uint8 [total], steps before each one in its history, at most the window.
        after: uint8 [total], steps after it, at most the window.
    """

    items: ItemIndexes
    offsets: Offsets
    places: NDArray[np.signedinteger]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @classmethod
    def of(cls, histories: Histories, *, n_items: int, window: int) -> StepsOfItems:
        """Sort the steps of histories by item.

        Args:
            histories: All their items are in the catalogue.
            n_items: Items of the catalogue.
            window: Steps that belong together, up to 255.
        """
        total = len(histories.items)
        offsets = np.zeros(n_items + 1, np.int64)
        np.cumsum(np.bincount(histories.items, minlength=n_items), out=offsets[1:])
        places: NDArray[np.signedinteger] = np.empty(total, np.int32)
        if total > np.iinfo(np.int32).max:
            places = np.empty(total, np.int64)
        before, after = np.empty(total, np.uint8), np.empty(total, np.uint8)
        _sort_steps(histories.items, offsets, offsets[:-1].copy(), places)
        _window_sizes(histories.offsets, window, before, after)
        return cls(histories.items, offsets, places, before, after)


@compiled
def _sort_steps(items: ItemIndexes, offsets: Offsets, free: Offsets, places: NDArray[np.signedinteger]) -> None:
    for step in range(len(items)):
        item = items[step]
        if free[item] < offsets[item + 1]:
            places[free[item]] = step
            free[item] += 1


@compiled
def _window_sizes(offsets: Offsets, window: int, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    for user in range(len(offsets) - 1):
        for step in range(offsets[user], offsets[user + 1]):
            before[step] = min(window, step - offsets[user])
            after[step] = min(window, offsets[user + 1] - 1 - step)


def strongest_followers(
    steps: StepsOfItems,
    *,
    weights: FloatArray | None,
    backward: float,
    leader_scale: FloatArray,
    follower_scale: FloatArray,
    kept: int,
) -> SparseRows:
    """Count how often item j comes after item i within the window, each time 1 / distance, and keep the strongest.

    Args:
        steps: To count in.
        weights: float32 [total], what each step counts as a follower; None for 1.
        backward: What a pair counts for the opposite order, as a share.
        leader_scale: float32 [n_items], what counts of each i are multiplied by.
        follower_scale: float32 [n_items], the same of each j.
        kept: Followers kept for an item; of equally strong ones those of lower index.

    Returns:
        [n_items, n_items], row i, column j: the scaled counts, above 0.
    """
    n_items = len(steps.offsets) - 1
    per_use = 0 if not len(steps.after) else int(steps.after.max()) * (2 if backward else 1)
    most = int(np.minimum(np.diff(steps.offsets) * per_use, min(kept, n_items)).sum())
    # As many as there can be: the system gives memory to those that are written alone.
    columns, values = np.empty(most, np.int32), np.empty(most, np.float32)
    offsets = np.zeros(n_items + 1, np.int64)
    counted = np.ones(len(steps.items), np.float32) if weights is None else weights
    _count_followers(
        steps.items, steps.offsets, steps.places, steps.before, steps.after, counted, float(backward), leader_scale,
        follower_scale, kept, offsets, columns, values,
    )  # fmt: skip
    for array in (columns, values):
        array.resize(int(offsets[-1]), refcheck=False)  # in place: no second copy
    return SparseRows(offsets, columns, values)


@compiled
def _count_followers(
    items: ItemIndexes,
    offsets: Offsets,
    places: NDArray[np.signedinteger],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    weights: FloatArray,
    backward: float,
    leader_scale: FloatArray,
    follower_scale: FloatArray,
    kept: int,
    out_offsets: Offsets,
    out_columns: ItemIndexes,
    out_values: FloatArray,
) -> None:
    n_items = len(offsets) - 1
    sums = np.zeros(n_items)
    listed = np.empty(n_items, np.int32)
    end = 0
    for leader in range(n_items):
        n_listed = 0
        for occurrence in range(offsets[leader], offsets[leader + 1]):
            step = np.int64(places[occurrence])
            for gap in range(1, after[step] + 1):
                counted = np.float64(weights[step + gap]) / gap
                n_listed = _add_up(sums, listed, n_listed, items[step + gap], counted)
            for gap in range(1, before[step] + 1 if backward > 0.0 else 0):
                counted = backward * np.float64(weights[step]) / gap
                n_listed = _add_up(sums, listed, n_listed, items[step - gap], counted)
        columns = np.sort(listed[:n_listed])
        strengths = np.empty(n_listed, np.float32)
        for place in range(n_listed):
            strengths[place] = sums[columns[place]] * leader_scale[leader] * follower_scale[columns[place]]
            sums[columns[place]] = 0.0
        least, n_equal_kept = _least_kept(strengths, kept)
        for place in range(n_listed):
            if strengths[place] > least or (strengths[place] == least and n_equal_kept > 0):
                n_equal_kept -= strengths[place] == least
                out_columns[end], out_values[end] = columns[place], strengths[place]
                end += 1
        out_offsets[leader + 1] = end


@compiled
def _add_up(sums: NDArray[np.float64], listed: ItemIndexes, n_listed: int, item: int, value: float) -> int:
    """Add to the sum of an item, list those whose sum is above 0, and return how many these are."""
    if value > 0.0:
        if sums[item] == 0.0:
            listed[n_listed] = item
            n_listed += 1
        sums[item] += value
    return n_listed


@compiled
def _least_kept(strengths: FloatArray, kept: int) -> tuple[np.float32, int]:
    """Return the least of the strongest that are kept, and how many are kept of those that are just as strong."""
    if len(strengths) <= kept:
        return np.float32(0.0), 0
    least = np.partition(strengths, len(strengths) - kept)[len(strengths) - kept]
    above = 0
    for place in range(len(strengths)):
        above += strengths[place] > least
    return least, kept - above


def total_cooccurrence(histories: Histories, *, n_items: int, window: int) -> NDArray[np.float64]:
    """Add up, for each item, 1 / distance of all steps within a window before and after it: float64 [n_items]."""
    shares = np.zeros(window + 1)
    np.cumsum(1.0 / np.arange(1, window + 1), out=shares[1:])
    most = 2.0 * shares[-1] * np.bincount(histories.items).max(initial=0)
    if most <= _EXACT_IN_FLOAT32:
        return _multiply(histories, np.ones((n_items, 1), np.float32), window=window)[:, 0].astype(np.float64)
    sums = np.zeros(n_items)
    _add_shares(histories.items, histories.offsets, shares, sums)
    return sums


@compiled
def _add_shares(items: ItemIndexes, offsets: Offsets, shares: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    """Add to the item of each step what `shares` has for the steps before it and after it, within the window."""
    window = len(shares) - 1
    for user in range(len(offsets) - 1):
        begin, end = offsets[user], offsets[user + 1]
        for step in range(begin, end):
            sums[items[step]] += shares[min(window, step - begin)] + shares[min(window, end - 1 - step)]


def cooccurrence_directions(
    histories: Histories, *, n_items: int, window: int, scale: FloatArray, count: int, seed: int
) -> FloatArray:
    """Return eigenvectors of what occurs together, each scaled by the root of its eigenvalue's size.

    The matrix has, for items i and j, the sum of 1 / distance of all their pairs within a window in a history, in
    either order, times `scale[i] * scale[j]`. It is multiplied by vectors without being made.

    Args:
        histories: All their items are in the catalogue.
        n_items: Items of the catalogue.
        window: Steps that a pair may be apart.
        scale: float32 [n_items].
        count: Eigenvectors wanted.
        seed: Decides the random start.

    Returns:
        float32 [n_items, min(count, n_items)], the largest eigenvalue first; their outer product approximates the
        matrix.
    """
    by_rows = scale[:, None]
    values, vectors = leading_subspace(
        lambda dense: by_rows * _multiply(histories, by_rows * dense, window=window),
        size=n_items,
        count=min(count, n_items),
        passes=_PASSES,
        seed=seed,
    )
    directions: FloatArray = vectors * np.sqrt(np.abs(values))
    return directions.astype(np.float32, copy=False)


def _multiply(histories: Histories, vectors: FloatArray, *, window: int) -> FloatArray:
    """Multiply the matrix of what occurs together, not scaled, by float32 [n_items, k]."""
    sums = np.zeros(vectors.shape, np.float32)
    _add_neighbors(histories.items, histories.offsets, np.ascontiguousarray(vectors), window, sums)
    return sums


@compiled
def _add_neighbors(items: ItemIndexes, offsets: Offsets, vectors: FloatArray, window: int, sums: FloatArray) -> None:
    width = vectors.shape[1]
    longest = 1
    for user in range(len(offsets) - 1):
        longest = max(longest, offsets[user + 1] - offsets[user])
    longest = min(longest, _BLOCK + window)
    # The vectors of a block of a history are fetched once, with those that its window reaches, and added up where they
    # are near.
    read, added = np.empty((longest, width), np.float32), np.empty((longest, width), np.float32)
    for user in range(len(offsets) - 1):
        for begin in range(offsets[user], offsets[user + 1], _BLOCK):
            length = min(longest, offsets[user + 1] - begin)
            for step in range(length):
                item = items[begin + step]
                for column in range(width):
                    read[step, column] = vectors[item, column]
                    added[step, column] = 0.0
            for step in range(min(_BLOCK, length)):
                for gap in range(1, min(window, length - 1 - step) + 1):
                    share = np.float32(1.0 / gap)
                    for column in range(width):
                        added[step, column] += share * read[step + gap, column]
                        added[step + gap, column] += share * read[step, column]
            for step in range(length):
                item = items[begin + step]
                for column in range(width):
                    sums[item, column] += added[step, column]


def users_per_item(data: TrainingData) -> NDArray[np.int64]:
    """Count the different users of each item: int64 [n_items]."""
    # At least 1, so that data without items are no division by 0.
    n_items = max(1, data.n_items)
    pairs = np.unique(data.interactions.user.astype(np.int64) * n_items + data.interactions.item)
    return np.bincount(pairs % n_items, minlength=data.n_items)


def within_percentiles(counts: NDArray[np.int64], *, low: float, high: float) -> NDArray[np.bool_]:
    """Return which counts lie within two percentiles of those above 0, both included: bool [n].

    A percentile between two counts is the outer one, so that few users or items are not cut for want of a better one.

    Args:
        counts: int64 [n], interactions of users or of items.
        low: Share of those above 0 that lie below the least count that is kept, 0 to 1.
        high: Share of those above 0 that lie up to the greatest count that is kept, 0 to 1.
    """
    used = counts[counts > 0]
    if not len(used):
        return counts > 0
    least, most = np.quantile(used, low, method="lower"), np.quantile(used, high, method="higher")
    inside: NDArray[np.bool_] = (counts >= least) & (counts <= most)
    return inside
