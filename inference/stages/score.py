"""Scoring: inner products of the embedding with item vectors, and the deltas of a few items."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from common.vocabulary import Vocabulary
from inference.recent_events import RecentHistory
from inference.run import PipelineRun
from inference.user_state import UserState
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.ports import ActionScorer
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.scoring import add_deltas, add_in_shortlist

__all__ = ["recommended_actions", "score", "score_actions", "score_all"]


def score(run: PipelineRun) -> None:
    """Score the items of the shortlist, or all, each to the same bits whatever else is scored and whatever found it."""
    item_vectors, shortlist, deltas = run.model.scorer.item_vectors, run.shortlist, run.state.score_deltas
    if shortlist is None:
        # By the same loop as a shortlist: a matrix product gives other bits.
        scores = inner_products(item_vectors, _all_items(len(item_vectors)), run.state.embedding)
        add_deltas(scores, deltas)
        if run.bonus is not None:
            run.bonus.add_to(scores)
    else:
        scores = inner_products(item_vectors, shortlist, run.state.embedding)
        if run.added is None:
            add_in_shortlist(scores, shortlist, deltas.items, deltas.values)
        else:
            scores += run.added
        if run.bonus is not None:
            scores += run.bonus.of(shortlist)
    run.scores = scores


@lru_cache(maxsize=8)
def _all_items(n_items: int) -> ItemIndexes:
    return np.arange(n_items, dtype=np.int32)


def score_all(item_vectors: FloatArray, state: UserState) -> FloatArray:
    """Score every item.

    Args:
        item_vectors: float32 [n_items, d].
        state: Of the user.

    Returns:
        float32 [n_items], a new array.
    """
    scores: FloatArray = item_vectors @ state.embedding
    add_deltas(scores, state.score_deltas)
    return scores


def score_actions(run: PipelineRun) -> None:
    """Choose the actions that the user is most likely to take, each by its own propensity."""
    limit = len(run.model.action_ids) if run.candidates.restricts else run.limit
    actions, propensities = recommended_actions(run, run.state.embedding, limit=limit)
    if run.candidates.restricts:
        allowed = run.candidates.contains(actions)
        actions, propensities = actions[allowed][: run.limit], propensities[allowed][: run.limit]
    run.items, run.shares = actions, propensities


def recommended_actions(run: PipelineRun, embedding: FloatArray, *, limit: int) -> tuple[ItemIndexes, FloatArray]:
    """Return the actions that a state makes most likely, int32 [k], and how likely each is taken, float32 [k].

    Args:
        run: Of the user.
        embedding: float32 [d], the user's, or what it would be with another history.
        limit: Actions at most.
    """
    scorer, request = run.model.scorer, run.request
    assert isinstance(scorer, ActionScorer), "pipelines are chosen by the kind of recipe"
    user = run.model.users.index(request.user_id)
    since = _last_contacts(run.model.actions, request.recent_actions)
    chosen, propensities = scorer.recommend(embedding, user=user, now=request.now, limit=limit, since=since)
    return chosen.astype(np.int32), propensities


def _last_contacts(actions: Vocabulary, recent: RecentHistory | None) -> dict[int, int]:
    """Return when the user last had to do with each action lately, in seconds since 1970."""
    last: dict[int, int] = {}
    for event in () if recent is None else recent.events():
        action = actions.index(event.item_id)
        if action is not None:
            last[action] = max(last.get(action, 0), event.millis // 1000)
    return last
