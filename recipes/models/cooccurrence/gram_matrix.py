"""The Gram matrix of users' items: how often two items are used by the same users, who may be weighted.

With X the matrix [n_users, n_items] of who used what and W the users' weights it is X^T W X; where times are known, the
pairs that were used near each other may count more. Rows are built a few at a time, so that memory is bounded by the
result, and the result by a limit to each row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData

__all__ = ["GramMatrix", "build_gram_matrix", "distinct_items", "largest_of_rows", "neighbours"]


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
    histories = data.histories()
    keys = histories.owners() * max(1, data.n_items) + histories.items
    firsts = np.zeros(len(keys), bool)
    firsts[np.unique(keys, return_index=True)[1]] = True
    return histories.where(firsts).newest(limit)


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

    Nearness is 1 for everything in one place and falls in a straight line to `1 - nearness` at `width` places. That is
    a kernel (the triangle's Fourier transform is nowhere negative), so the sums stay positive semidefinite and may be
    used as the Gram matrix of a regression.

    Args:
        histories: Different items of each user.
        n_items: Items of the catalogue.
        user_weights: float32 [n_users], 1 for each if left out.
        nearness: Share of the weight that depends on places, 0 to 1.
        width: Places beyond which nothing is near.
        row_limit: Entries kept of a row at most, the largest after division by the root of the column's diagonal.
        pairs_at_once: Pairs of steps that are held in memory at once.
        dense_cells: Cells of a dense block of rows that are filled at most; where there are more, pairs are sorted.
    """
    owners = histories.owners()
    weights = np.ones(len(histories), np.float32) if user_weights is None else user_weights
    diagonal = np.bincount(histories.items, weights=weights[owners], minlength=n_items).astype(np.float32)
    order = np.argsort(histories.items, kind="stable")
    begins = np.searchsorted(histories.items[order], np.arange(n_items + 1))
    work = np.concatenate([[0], np.cumsum(histories.lengths()[owners[order]])])[begins]

    offsets, columns, values = [np.zeros(1, np.int64)], [], []
    first = 0
    while first < n_items:
        last = int(np.searchsorted(work, work[first] + pairs_at_once, side="right")) - 1
        last = min(max(last, first + 1), n_items)
        steps = order[begins[first] : begins[last]]
        keys, summed = _sum_rows(
            histories, steps, owners[steps], first=first, n_rows=last - first, n_items=n_items,
            weights=weights, nearness=nearness, width=width, dense_cells=dense_cells,
        )  # fmt: skip
        rows, cells = np.divmod(keys, n_items)
        ends = np.searchsorted(rows, np.arange(1, last - first + 1))
        if row_limit is not None:
            strengths = (summed / np.sqrt(diagonal[cells])).astype(np.float32)
            kept, ends = largest_of_rows(np.concatenate([[0], ends]), strengths, limit=row_limit)
            cells, summed, ends = cells[kept], summed[kept], ends[1:]
        offsets.append(offsets[-1][-1] + ends)
        columns.append(cells.astype(np.int32))
        values.append(summed)
        first = last
    return GramMatrix(_joined(offsets, columns, values), diagonal)


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


def _sum_rows(
    histories: Histories,
    steps: NDArray[np.int64],
    users: NDArray[np.int64],
    *,
    first: int,
    n_rows: int,
    n_items: int,
    weights: FloatArray,
    nearness: float,
    width: int,
    dense_cells: int,
) -> tuple[NDArray[np.int64], FloatArray]:
    """Sum the pairs that begin with the items of some steps: keys, row times n_items plus column, and their sums."""
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
    keys = (rows * n_items + columns)[different]
    values = values[different]
    if n_rows * n_items <= dense_cells:
        sums = np.bincount(keys, weights=values, minlength=n_rows * n_items)
        places = np.flatnonzero(sums)
        return places, sums[places].astype(np.float32)
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    totals = np.add.reduceat(values, starts) if len(starts) else values
    return keys[starts], totals.astype(np.float32)


def _joined(offsets: list[NDArray[np.int64]], columns: list[ItemIndexes], values: list[FloatArray]) -> SparseRows:
    """Put blocks of rows one after another; `offsets` begins with [0]."""
    if not columns:
        return SparseRows(offsets[0], np.empty(0, np.int32), np.empty(0, np.float32))
    return SparseRows(np.concatenate(offsets), np.concatenate(columns), np.concatenate(values))


def neighbours(weights: SparseRows, *, least: int = 500, entries: int = 1 << 22) -> SparseRows:
    """Keep the weights of each row that are furthest from 0.

    Args:
        weights: [n_items, n_items].
        least: Neighbours kept of an item in any catalogue.
        entries: Small catalogues keep so many more that they have this many entries in all.
    """
    limit = max(least, entries // max(1, len(weights)))
    kept, offsets = largest_of_rows(weights.offsets, np.abs(weights.values), limit=limit)
    return SparseRows(offsets.astype(np.int64), weights.columns[kept], weights.values[kept].astype(np.float32))
