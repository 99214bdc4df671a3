"""Full ranking: every item of the catalogue is scored for every history, in batches, as serving would score it.

Ties are broken the same way everywhere: a list names the lower index first, and the rank of a target counts every tie
against it, so that a model that scores all items alike earns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.retrieval.top_k import top_k

__all__ = [
    "BATCH_SCORES", "CatalogueScores", "batches", "both_lists", "by_vectors", "coverage", "target_ranks", "top_items",
]  # fmt: skip

#: Scores some users, given as a slice of their rows: float32 [users, n_items], a new array each time.
CatalogueScores = Callable[[slice], FloatArray]

#: Scores held at once, 64 MiB of them.
BATCH_SCORES: Final = 1 << 24


def batches(count: int, *, n_items: int, batch_scores: int = BATCH_SCORES) -> Iterator[slice]:
    """Cut `count` rows into slices whose scores, `batch_scores` at most, fit into memory."""
    size = max(1, batch_scores // max(1, n_items))
    for begin in range(0, count, size):
        yield slice(begin, min(count, begin + size))


def by_vectors(item_vectors: FloatArray, queries: FloatArray) -> CatalogueScores:
    """Score by inner products alone.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d].
    """

    def scores(rows: slice) -> FloatArray:
        products: FloatArray = queries[rows] @ item_vectors.T
        return products

    return scores


def target_ranks(
    scores: CatalogueScores,
    *,
    n_items: int,
    histories: Histories,
    targets: ItemIndexes,
    exclude_seen: bool = False,
    batch_scores: int = BATCH_SCORES,
) -> NDArray[np.int64]:
    """Rank one target for each user among the whole catalogue.

    Args:
        scores: Of the m users.
        n_items: Items of the catalogue.
        histories: Of the same users.
        targets: int32 [m].
        exclude_seen: Rank items of the history last, as published protocols without repeats do.
        batch_scores: Scores held at once.

    Returns:
        int64 [m], from 1; ties count against the target.
    """
    ranks = np.empty(len(targets), np.int64)
    for part in batches(len(targets), n_items=n_items, batch_scores=batch_scores):
        values = _cleaned(scores, part, histories=histories, exclude_seen=exclude_seen)
        for row, of_user in enumerate(values, start=part.start):
            ranks[row] = np.count_nonzero(of_user >= of_user[targets[row]])
    return ranks


def top_items(
    scores: CatalogueScores,
    *,
    n_items: int,
    histories: Histories,
    limit: int,
    exclude_seen: bool = False,
    batch_scores: int = BATCH_SCORES,
) -> ItemIndexes:
    """List the best items for each user; the arguments of `target_ranks`.

    Returns:
        int32 [m, min(limit, n_items)], best first.
    """
    lists = np.empty((len(histories), min(limit, n_items)), np.int32)
    for part in batches(len(histories), n_items=n_items, batch_scores=batch_scores):
        values = _cleaned(scores, part, histories=histories, exclude_seen=exclude_seen)
        for row, of_user in enumerate(values, start=part.start):
            lists[row] = top_k(of_user, limit)
    return lists


def both_lists(
    scores: CatalogueScores, *, n_items: int, histories: Histories, limit: int, batch_scores: int = BATCH_SCORES
) -> tuple[ItemIndexes, ItemIndexes]:
    """List the best items twice, scoring once: with what users have seen, and without; see `top_items`."""
    shape = (len(histories), min(limit, n_items))
    with_seen, without_seen = np.empty(shape, np.int32), np.empty(shape, np.int32)
    for part in batches(len(histories), n_items=n_items, batch_scores=batch_scores):
        values = _cleaned(scores, part, histories=histories, exclude_seen=False)
        for row, of_user in enumerate(values, start=part.start):
            with_seen[row] = top_k(of_user, limit)
        _exclude_seen(values, part, histories)
        for row, of_user in enumerate(values, start=part.start):
            without_seen[row] = top_k(of_user, limit)
    return with_seen, without_seen


def coverage(recommended: ItemIndexes, *, n_items: int) -> float:
    """Share of the catalogue that anybody is shown; -1 in a list is no item."""
    return len(np.unique(recommended[recommended >= 0])) / n_items


def _cleaned(scores: CatalogueScores, part: slice, *, histories: Histories, exclude_seen: bool) -> FloatArray:
    """Score a batch; a score that is not a number becomes -inf, and so do items of the history if they are excluded."""
    values = scores(part)
    if np.isnan(values.min(initial=np.inf)):  # one pass, where finding them takes several
        values[np.isnan(values)] = -np.inf
    if exclude_seen:
        _exclude_seen(values, part, histories)
    return values


def _exclude_seen(values: FloatArray, part: slice, histories: Histories) -> None:
    seen = histories.take(np.arange(part.start, part.stop))
    inside = (seen.items >= 0) & (seen.items < values.shape[1])
    values[seen.owners()[inside], seen.items[inside]] = -np.inf
