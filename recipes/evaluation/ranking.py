"""Full ranking: every item of the catalogue is scored for every history, in batches, as serving would score it.

Ties are broken the same way everywhere: a list names the lower index first, and the rank of a target counts every tie
against it, so that a model that scores all items alike earns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import Columns
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.ports import ItemScorer, UsesSideFeatures
from recipes.retrieval.top_k import top_k

__all__ = [
    "CatalogueScores", "batches", "both_lists", "by_scorer", "by_vectors", "codes_of_users", "situated_queries",
    "target_ranks", "top_items",
]  # fmt: skip

#: Scores some users, given as a slice of their rows: float32 [users, n_items], a new array each time.
CatalogueScores = Callable[[slice], FloatArray]

#: Scores held at once, 64 MiB of them.
_BATCH_SCORES = 1 << 24


def batches(count: int, *, n_items: int) -> Iterator[slice]:
    """Cut `count` rows into slices whose scores fit into memory."""
    size = max(1, _BATCH_SCORES // max(1, n_items))
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


def situated_queries(
    scorer: ItemScorer,
    histories: Histories,
    codes: NDArray[np.int32] | None = None,
    *,
    user_features: NDArray[np.int32] | None = None,
) -> FloatArray:
    """Make the vectors of histories, each in its situation and of its user.

    Args:
        scorer: Of a fitted recipe.
        histories: Of m users.
        codes: int32 [m, columns], of each one's context; None without any.
        user_features: int32 [m, k], of each one's columns; None without any.

    Returns:
        float32 [m, d].
    """
    queries = scorer.embed_histories(histories)
    if isinstance(scorer, UsesSideFeatures):
        for added in (
            None if scorer.context is None or codes is None else scorer.context.of_codes(codes),
            None
            if scorer.user_features is None or user_features is None
            else scorer.user_features.of_codes(user_features, histories.lengths()),
        ):
            if added is not None:
                queries[:, : added.shape[1]] += added
    return queries


def codes_of_users(scorer: ItemScorer, columns: Columns, *, n_users: int) -> NDArray[np.int32] | None:
    """Return the codes that users' columns have with a scorer, int32 [n_users, k]; None where it knows of none."""
    table = scorer.user_features if isinstance(scorer, UsesSideFeatures) else None
    return None if table is None else table.encode(columns, n_users=n_users)


def by_scorer(scorer: ItemScorer, histories: Histories, *, queries: FloatArray | None = None) -> CatalogueScores:
    """Score as serving does: inner products, and the adjustment of each history.

    Args:
        scorer: Of a fitted recipe.
        histories: Of the users to score.
        queries: float32 [m, d], the scorer's vectors of the same histories where they are at hand.
    """
    vectors = scorer.embed_histories(histories) if queries is None else queries

    def scores(rows: slice) -> FloatArray:
        products: FloatArray = vectors[rows] @ scorer.item_vectors.T
        for row in range(rows.start, rows.stop):
            change = scorer.score_deltas(histories.of(row))
            products[row - rows.start, change.items] += change.values
        return products

    return scores


def target_ranks(
    scores: CatalogueScores,
    *,
    n_items: int,
    histories: Histories,
    targets: ItemIndexes,
    exclude_seen: bool = False,
) -> NDArray[np.int64]:
    """Rank one target for each user among the whole catalogue.

    Args:
        scores: Of the m users.
        n_items: Items of the catalogue.
        histories: Of the same users.
        targets: int32 [m].
        exclude_seen: Rank items of the history last, as published protocols without repeats do.

    Returns:
        int64 [m], from 1; ties count against the target.
    """
    ranks = np.empty(len(targets), np.int64)
    for part in batches(len(targets), n_items=n_items):
        values = _cleaned(scores, part, histories=histories, exclude_seen=exclude_seen)
        wanted = values[np.arange(len(values)), targets[part]]
        ranks[part] = (values >= wanted[:, None]).sum(axis=1)
    return ranks


def top_items(
    scores: CatalogueScores,
    *,
    n_items: int,
    histories: Histories,
    limit: int,
    exclude_seen: bool = False,
) -> ItemIndexes:
    """List the best items for each user; the arguments of `target_ranks`.

    Returns:
        int32 [m, min(limit, n_items)], best first.
    """
    lists = np.empty((len(histories), min(limit, n_items)), np.int32)
    for part in batches(len(histories), n_items=n_items):
        values = _cleaned(scores, part, histories=histories, exclude_seen=exclude_seen)
        for row, of_user in enumerate(values, start=part.start):
            lists[row] = top_k(of_user, limit)
    return lists


def both_lists(
    scores: CatalogueScores, *, n_items: int, histories: Histories, limit: int
) -> tuple[ItemIndexes, ItemIndexes]:
    """List the best items twice, scoring once: with what users have seen, and without; see `top_items`."""
    shape = (len(histories), min(limit, n_items))
    with_seen, without_seen = np.empty(shape, np.int32), np.empty(shape, np.int32)
    for part in batches(len(histories), n_items=n_items):
        values = _cleaned(scores, part, histories=histories, exclude_seen=False)
        for row, of_user in enumerate(values, start=part.start):
            with_seen[row] = top_k(of_user, limit)
        _exclude_seen(values, part, histories)
        for row, of_user in enumerate(values, start=part.start):
            without_seen[row] = top_k(of_user, limit)
    return with_seen, without_seen


def _cleaned(scores: CatalogueScores, part: slice, *, histories: Histories, exclude_seen: bool) -> FloatArray:
    """Score a batch; a score that is not a number becomes -inf, and so do items of the history if they are excluded."""
    values = scores(part)
    values[np.isnan(values)] = -np.inf
    if exclude_seen:
        _exclude_seen(values, part, histories)
    return values


def _exclude_seen(values: FloatArray, part: slice, histories: Histories) -> None:
    own = histories.take(np.arange(part.start, part.stop))
    known = (own.items >= 0) & (own.items < values.shape[1])
    values[own.owners()[known], own.items[known]] = -np.inf
