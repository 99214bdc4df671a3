"""The Gram matrix of users' items: how often two items are used by the same users, who may be weighted.

With X the matrix [n_users, n_items] of who used what and W the users' weights it is X^T W X; where times are known, the
pairs that were used near each other may count more. Rows are summed a few at a time, a row that is too much for that by
a part of its users at a time: memory is bounded by what is kept of them, and that by a limit to each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, offsets_of
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData

__all__ = [
    "GramMatrix", "build_gram_matrix", "diagonal_of", "distinct_items", "distinct_steps", "join_rows",
    "largest_of_rows", "neighbour_limit", "neighbours", "strongest_of_rows", "sum_pairs",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class GramMatrix:
    """Sums over the users of two items, a matrix that is symmetric unless rows were cut.

    Attributes:
        off_diagonal: [n_items, n_items], row i, column j, i and j different.
        diagonal: float32 [n_items], the summed weights of each item's users.
    """

    off_diagonal: SparseRows
    diagonal: FloatArray


def distinct_items(data: TrainingData, *, limit: int = 1000) -> Histories:
    """Return the newest different items of each user, in the order of their first use.

    Args:
        data: With interactions.
        limit: Items of a user at most; the work of a Gram matrix grows with their square.
    """
    return distinct_steps(data.histories(), n_items=data.n_items, limit=limit)


def distinct_steps(histories: Histories, *, n_items: int, limit: int, by_last_use: bool = False) -> Histories:
    """Return the steps with the newest different items of each user, in the order of their first use, or of their last.

    Args:
        histories: All their items are in the catalogue.
        n_items: Items of the catalogue.
        limit: Items of a user at most.
        by_last_use: Whether an item is as new as its last use, or as its first.
    """
    keys = histories.owners() * max(1, n_items) + histories.items
    if by_last_use:
        places = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    else:
        places = np.unique(keys, return_index=True)[1]
    chosen = np.zeros(len(keys), bool)
    chosen[places] = True
    return histories.where(chosen).newest(limit)


def build_gram_matrix(
    histories: Histories,
    *,
    n_items: int,
    user_weights: FloatArray | None = None,
    nearness: float = 0.0,
    width: int = 1,
    row_limit: int | None = None,
    pairs_at_once: int = 1 << 22,
    dense_cells: int = 1 << 24,
) -> GramMatrix:
    """Sum over users, for each two of their items, the user's weight times how near to each other they are.

    Args:
        histories: Different items of each user.
        n_items: Items of the catalogue.
        user_weights: float32 [n_users], 1 for each if left out.
        nearness: Share of the weight that depends on places, see `sum_pairs`.
        width: Places beyond which nothing is near.
        row_limit: Entries kept of a row at most, the largest after division by the root of the column's diagonal.
        pairs_at_once: Pairs of steps that are held in memory at once.
        dense_cells: Cells of a dense block of rows that are filled at most; where there are more, pairs are sorted.
    """
    diagonal = diagonal_of(histories, n_items=n_items, user_weights=user_weights)
    blocks: Iterable[SparseRows] = sum_pairs(
        histories, n_items=n_items, user_weights=user_weights, nearness=nearness, width=width,
        pairs_at_once=pairs_at_once, dense_cells=dense_cells,
    )  # fmt: skip
    if row_limit is not None:
        blocks = (
            strongest_of_rows(
                block, (block.values / np.sqrt(diagonal[block.columns])).astype(np.float32), limit=row_limit
            )
            for block in blocks
        )
    return GramMatrix(join_rows(blocks), diagonal)


def diagonal_of(histories: Histories, *, n_items: int, user_weights: FloatArray | None = None) -> FloatArray:
    """Return the summed weights of each item's users, who count 1 each without weights: float32 [n_items]."""
    weights = None if user_weights is None else user_weights[histories.owners()]
    return np.bincount(histories.items, weights=weights, minlength=n_items).astype(np.float32)


def sum_pairs(
    histories: Histories,
    *,
    n_items: int,
    user_weights: FloatArray | None = None,
    nearness: float = 0.0,
    width: int = 1,
    pairs_at_once: int = 1 << 22,
    dense_cells: int = 1 << 24,
) -> Iterator[SparseRows]:
    """Yield the rows of the Gram matrix without its diagonal, a few at a time, from the first item to the last.

    Nearness is 1 for everything in one place and falls in a straight line to `1 - nearness` at `width` places. That is
    a kernel (the triangle's Fourier transform is nowhere negative), so the sums stay positive semidefinite and may be
    used as the Gram matrix of a regression.

    Args:
        histories: Different items of each user.
        n_items: Items of the catalogue.
        user_weights: float32 [n_users], 1 for each if left out.
        nearness: Share of the weight that depends on places, 0 to 1.
        width: Places beyond which nothing is near.
        pairs_at_once: Pairs of steps that are held in memory at once; of one user at least.
        dense_cells: Cells of a dense block of rows that are filled at most; where there are more, pairs are sorted, but
            for a single row.

    Yields:
        [rows, n_items] each, so many rows that they come from about `pairs_at_once` pairs, at least one.
    """
    owners = histories.owners()
    lengths = histories.lengths()[owners]
    weights = np.ones(len(histories), np.float32) if user_weights is None else user_weights
    order = np.argsort(histories.items, kind="stable")
    begins = np.searchsorted(histories.items[order], np.arange(n_items + 1))
    work = offsets_of(lengths[order])
    work_of_items = work[begins]

    def pairs_of(begin: int, end: int, first: int) -> _Pairs:
        steps = order[begin:end]
        return _pairs_of(
            histories, steps, owners[steps], first=first, n_items=n_items, weights=weights,
            nearness=nearness, width=width,
        )  # fmt: skip

    first = 0
    while first < n_items:
        begin = int(begins[first])
        last = int(np.searchsorted(work_of_items, work[begin] + pairs_at_once, side="right")) - 1
        last = min(max(last, first + 1), n_items)
        end, n_rows = int(begins[last]), last - first
        if n_rows == 1 or n_rows * n_items <= dense_cells:
            sums = np.zeros(n_rows * n_items)
            while begin < end:  # once, unless a single row has more pairs than that
                part = int(np.searchsorted(work, work[begin] + pairs_at_once, side="right")) - 1
                part = min(max(part, begin + 1), end)
                keys, values = pairs_of(begin, part, first)
                np.add.at(sums, keys, values.astype(np.float64))
                begin = part
            keys = np.flatnonzero(sums)
            summed = sums[keys].astype(np.float32)
        else:
            keys, summed = _sorted_sums(*pairs_of(begin, end, first))
        rows, columns = np.divmod(keys, n_items)
        yield SparseRows(np.searchsorted(rows, np.arange(n_rows + 1)), columns.astype(np.int32), summed)
        first = last


def strongest_of_rows(rows: SparseRows, strengths: FloatArray, *, limit: int) -> SparseRows:
    """Keep the entries of each row that have the largest strengths, float32 [entries], `limit` at most."""
    kept, offsets = largest_of_rows(rows.offsets, strengths, limit=limit)
    return SparseRows(offsets.astype(np.int64), rows.columns[kept], rows.values[kept])


def largest_of_rows(
    offsets: NDArray[np.int64], strengths: FloatArray, *, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the `limit` largest entries of each row.

    Args:
        offsets: int64 [rows + 1], where rows begin and end.
        strengths: float32 [entries].
        limit: At least 1.

    Returns:
        int64 [kept], places of the entries, ascending; int64 [rows + 1], where the rows begin and end among them.
    """
    kept = np.ones(len(strengths), bool)
    for row in np.flatnonzero(np.diff(offsets) > limit):
        span = slice(int(offsets[row]), int(offsets[row + 1]))
        kept[span] = False
        kept[span.start + np.argpartition(-strengths[span], limit - 1)[:limit]] = True
    return np.flatnonzero(kept), np.concatenate([[0], np.cumsum(kept)])[offsets]


class _Pairs(NamedTuple):
    """Pairs of different items: where in a block of rows they count, int64 [pairs], and how much, float32 [pairs]."""

    keys: NDArray[np.int64]
    values: FloatArray


def _pairs_of(
    histories: Histories,
    steps: NDArray[np.int64],
    users: NDArray[np.int64],
    *,
    first: int,
    n_items: int,
    weights: FloatArray,
    nearness: float,
    width: int,
) -> _Pairs:
    """List the pairs that begin with the items of some steps; a key is row times n_items plus column."""
    lengths = histories.lengths()[users]
    spans = np.repeat(histories.offsets[users] - (np.cumsum(lengths) - lengths), lengths)
    others = np.arange(len(spans)) + spans
    values = np.repeat(weights[users], lengths)
    if nearness > 0.0:
        gaps = np.abs(others - np.repeat(steps, lengths))
        values = values * (1.0 - nearness * np.minimum(gaps / np.float32(width), 1.0)).astype(np.float32)
    rows = np.repeat(histories.items[steps].astype(np.int64) - first, lengths)
    columns = histories.items[others]
    different = columns != rows + first
    return _Pairs((rows * n_items + columns)[different], values[different])


def _sorted_sums(keys: NDArray[np.int64], values: FloatArray) -> _Pairs:
    """Add up what has the same key; keys ascend."""
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    totals = np.add.reduceat(values, starts) if len(starts) else values
    return _Pairs(keys[starts], totals.astype(np.float32))


def join_rows(blocks: Iterable[SparseRows]) -> SparseRows:
    """Put blocks of rows one after another."""
    parts = list(blocks)
    lengths = [np.zeros(0, np.int64), *(part.lengths() for part in parts)]
    return SparseRows(
        offsets_of(np.concatenate(lengths)),
        np.concatenate([np.empty(0, np.int32), *(part.columns for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.values for part in parts)]),
    )


def neighbour_limit(n_items: int) -> int:
    """Return how many neighbours of an item are kept at most: 500, in small catalogues as many as make four million."""
    return max(500, (1 << 22) // max(1, n_items))


def neighbours(weights: SparseRows, *, limit: int) -> SparseRows:
    """Keep the weights of each row that are furthest from 0.

    Args:
        weights: [rows, n_items].
        limit: Kept of a row at most, see `neighbour_limit`.
    """
    return strongest_of_rows(weights, np.abs(weights.values), limit=limit)
