"""Scoring many users at once, with the arithmetic of serving: embeddings, what side features add, and score deltas.

Serving scores one user (`inference.stages.score`), validation and offline evaluation blocks of users; what is added to
what, and in which order, stands here for both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from common.compiled import FLOATS, INTS, WRITTEN_FLOATS, compiled_for
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.data.item_table import item_table, look_up, place_in
from recipes.ports import ItemScorer, ScoreDelta, UsesSideFeatures

__all__ = [
    "add_deltas",
    "add_features",
    "add_in_shortlist",
    "add_side_features",
    "catalogue_scores",
    "embed_users",
    "user_codes_of",
]


def add_features(embeddings: FloatArray, added: FloatArray) -> None:
    """Add what side features say, in place, to the first coordinates; the last ones are those of the items' biases.

    Args:
        embeddings: float32 [..., d].
        added: float32 [..., up to d].
    """
    embeddings[..., : added.shape[-1]] += added


def add_deltas(scores: FloatArray, deltas: ScoreDelta) -> None:
    """Add score deltas, in place, to the scores of all items: float32 [n_items]."""
    if len(deltas.items):
        _add(scores, deltas.items, deltas.values)


@compiled_for(WRITTEN_FLOATS, INTS, FLOATS)
def _add(scores: FloatArray, items: ItemIndexes, values: FloatArray) -> None:
    for place in range(len(items)):
        item = np.uint32(items[place])
        if item < len(scores):
            scores[item] += values[place]


@compiled_for(WRITTEN_FLOATS, INTS, INTS, FLOATS)
def add_in_shortlist(scores: FloatArray, shortlist: ItemIndexes, items: ItemIndexes, values: FloatArray) -> None:
    """Add score deltas, in place, to the scores of those items that are in a shortlist.

    Args:
        scores: float32 [m].
        shortlist: int32 [m], their items, all different, in any order.
        items: int32 [k], of the deltas, all different.
        values: float32 [k], of the deltas.
    """
    # The shorter list goes into the table, the longer one is looked up.
    if len(shortlist) < len(items):
        table, listed = item_table(len(shortlist)), np.empty(len(shortlist), np.int32)
        for place in range(len(shortlist)):
            place_in(table, listed, place, shortlist[place])
        for place in range(len(items)):
            at = look_up(table, listed, items[place])
            if at >= 0:
                scores[at] += values[place]
    else:
        table, listed = item_table(len(items)), np.empty(len(items), np.int32)
        for place in range(len(items)):
            place_in(table, listed, place, items[place])
        for place in range(len(shortlist)):
            at = look_up(table, listed, shortlist[place])
            if at >= 0:
                scores[place] += values[at]


def embed_users(
    scorer: ItemScorer,
    histories: Histories,
    context_codes: NDArray[np.int32] | None = None,
    *,
    user_codes: NDArray[np.int32] | None = None,
) -> FloatArray:
    """Make the embeddings of users, each in a context and with what is known of the user.

    Args:
        scorer: Of a fitted recipe.
        histories: Of m users.
        context_codes: int32 [m, columns], of each one's context; None without any.
        user_codes: int32 [m, k], of each one's columns; None without any.

    Returns:
        float32 [m, d].
    """
    embeddings = scorer.embed_histories(histories)
    add_side_features(
        scorer, embeddings, lengths=histories.lengths(), context_codes=context_codes, user_codes=user_codes
    )
    return embeddings


def add_side_features(
    scorer: ItemScorer,
    embeddings: FloatArray,
    *,
    lengths: NDArray[np.int64],
    context_codes: NDArray[np.int32] | None,
    user_codes: NDArray[np.int32] | None,
) -> None:
    """Add, in place, what a context and users' columns say to the embeddings of histories of some lengths.

    Args:
        scorer: Of a fitted recipe.
        embeddings: float32 [m, d].
        lengths: int64 [m], steps of the histories.
        context_codes: int32 [m, columns]; None without any.
        user_codes: int32 [m, k]; None without any.
    """
    if isinstance(scorer, UsesSideFeatures):
        if scorer.context is not None and context_codes is not None:
            add_features(embeddings, scorer.context.of_codes(context_codes))
        if scorer.user_features is not None and user_codes is not None:
            add_features(embeddings, scorer.user_features.of_codes(user_codes, lengths))


def user_codes_of(scorer: ItemScorer, columns: Columns, *, n_users: int) -> NDArray[np.int32] | None:
    """Return the codes that users' columns have with a scorer, int32 [n_users, k]; None where it has learnt none."""
    table = scorer.user_features if isinstance(scorer, UsesSideFeatures) else None
    return None if table is None else table.encode(columns, n_users=n_users)


def catalogue_scores(
    scorer: ItemScorer, histories: Histories, *, embeddings: FloatArray | None = None
) -> Callable[[slice], FloatArray]:
    """Return a function that scores every item for some of the users: see `evaluation.ranking.CatalogueScores`.

    Args:
        scorer: Of a fitted recipe.
        histories: Of m users.
        embeddings: float32 [m, d], those of the same histories where they are at hand.
    """
    vectors = scorer.embed_histories(histories) if embeddings is None else embeddings

    def scores(rows: slice) -> FloatArray:
        products: FloatArray = vectors[rows] @ scorer.item_vectors.T
        for row in range(rows.start, rows.stop):
            add_deltas(products[row - rows.start], scorer.score_deltas(histories.of(row)))
        return products

    return scores
