"""Explains an answer of a pipeline: what each item scores and why, which rank that is, and what of the history did it.

An explanation scores all items, so it also tells whether an index has missed any. What an item of the history means is
measured by leaving it out: the state of the history without the item is made, and the change of the scores looked at.
Everything here only reads what is immutable, so it may run in a thread beside the requests of the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.run import PipelineRun
from inference.stages.score import recommended_actions
from inference.user_state import UserState, UserStates
from recipes.data.histories import FloatArray, History, ItemIndexes
from recipes.ports import AcceptsRankingInfluence, ActionScorer, ScoreDelta

__all__ = ["Contribution", "ExplainedScore", "Explanation", "explain"]

#: Items of the history that are left out one by one: the newest.
WINDOW: Final = 20
#: Two ways to add the same products up differ by this share.
_TOLERANCE: Final = 1e-5
_NOTHING: Final = History.of_items([])


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one item of the history means for another item.

    Attributes:
        item: Of the history.
        score_change: By how much the score would be lower without it.
    """

    item: int
    score_change: float


@dataclass(frozen=True, slots=True)
class ExplainedScore:
    """The score of one item, by its parts.

    Attributes:
        model_score: What the model gives it.
        model_rank: Its rank by that among all items, from 1 on.
        influence: What the campaign's ranking influence adds.
        rules: What the score deltas of the history add.
        bonus: What exploration adds.
        total: The sum.
        rank: Its rank by that among all that may be returned, from 1 on; None for an item that may not.
        contributions: Those of the history that change its score most, the largest change first.
    """

    model_score: float
    model_rank: int
    influence: float
    rules: float
    bonus: float
    total: float
    rank: int | None
    contributions: Sequence[Contribution]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one answer.

    Attributes:
        scores: Of the items that were asked about; None for one without a score.
        is_exact: Whether nothing that may be returned scores higher than an item that is in the list for its score.
    """

    scores: Sequence[ExplainedScore | None]
    is_exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The scores of all items, or of some, by their parts: float32 [n] each.

    Attributes:
        model: Of the model alone.
        influence: Of ranking influence.
        rules: Of the history's score deltas.
    """

    model: FloatArray
    influence: FloatArray
    rules: FloatArray

    @property
    def total(self) -> FloatArray:
        total: FloatArray = self.model + self.influence + self.rules
        return total


#: Scores some items, None for all, by a history.
_Score = Callable[[History, ItemIndexes | None], _Parts]


def explain(run: PipelineRun, items: ItemIndexes, *, contributions: int) -> Explanation:
    """Explain the scores of items.

    Args:
        run: What the pipeline did for the request; it is over.
        items: int32 [k]; what has neither a vector nor a trend has no score.
        contributions: For each item at most.
    """
    history, score = _scoring(run)
    parts = score(history, None)
    every = np.arange(len(parts.model), dtype=np.int32)
    bonus = np.zeros(len(every), np.float32) if run.bonus is None else run.bonus.of(every)
    totals = parts.total + bonus
    allowed = run.candidates.mask(len(totals))
    scored = items[items < len(totals)]
    scored = scored[np.isfinite(totals[scored])]
    counted = dict(zip(scored.tolist(), _contributions(history, scored, score, most=contributions), strict=True))
    explained = [
        None
        if item not in counted
        else ExplainedScore(
            model_score=float(parts.model[item]),
            model_rank=_rank(parts.model, parts.model[item]),
            influence=float(parts.influence[item]),
            rules=float(parts.rules[item]),
            bonus=float(bonus[item]),
            total=float(totals[item]),
            rank=_rank(totals[allowed], totals[item]) if allowed[item] else None,
            contributions=counted[item],
        )
        for item in items.tolist()
    ]
    return Explanation(explained, _is_exact(run, totals, allowed))


def _scoring(run: PipelineRun) -> tuple[History, _Score]:
    """Return the history that the answer comes from, and how items are scored by one."""
    request, users = run.request, run.users
    if request.trend is not None:
        trend = request.trend.scores
        return _NOTHING, lambda _, items: _alone(trend if items is None else trend[items])
    scorer = run.model.scorer
    if request.item_id:
        item = run.model.item_index(request.item_id)
        history = _NOTHING if item is None else History.of_items([item])
        return history, lambda left, items: _by_state(run, users.history_state(left), left, items)
    if not run.model.recipe.kind.is_personalized:
        return _NOTHING, lambda left, items: _by_state(run, run.state, left, items)
    user, history = users.user_history(request.user_id, request.recent)
    if isinstance(scorer, ActionScorer):
        return history, lambda left, items: _alone(_propensities(run, users.embed_history(user, left), items))
    return history, lambda left, items: _by_state(run, _user_state(users, user, left, run), left, items)


def _user_state(users: UserStates, user: int | None, history: History, run: PipelineRun) -> UserState:
    state = UserState(users.embed_history(user, history), run.model.scorer.score_deltas(history))
    return users.with_context(state, run.request.context) if run.request.context else state


def _by_state(run: PipelineRun, state: UserState, history: History, items: ItemIndexes | None) -> _Parts:
    """Score items by a state, those that came after the model included."""
    scorer = run.model.scorer
    scores = _products(run, state, items)
    influence = np.zeros_like(scores)
    if isinstance(scorer, AcceptsRankingInfluence):
        plain = run.model.new_items.read_by(scorer.influenced(freshness=0.0, popularity=0.0))
        plain_state = UserState(plain.embed_history(history), state.score_deltas)
        uninfluenced, has_score = _products(run, plain_state, items), np.isfinite(scores)
        influence[has_score] = scores[has_score] - uninfluenced[has_score]
        scores = uninfluenced
    rules = _dense(state.score_deltas, _size(run))
    return _Parts(scores, influence, rules if items is None else rules[items])


def _size(run: PipelineRun) -> int:
    """Return how many indexes there are: of the model's items, and of those that came after it."""
    new = run.new_items.items
    return int(new[-1]) + 1 if len(new) else len(run.model.item_ids)


def _products(run: PipelineRun, state: UserState, items: ItemIndexes | None) -> FloatArray:
    """Return the inner products of a state with the vectors of some items, None for all; -inf without a vector."""
    vectors, new, embedding = run.model.scorer.item_vectors, run.new_items, state.embedding
    for_new_items = embedding if state.for_new_items is None else state.for_new_items
    if items is None:
        scores = np.full(_size(run), -np.inf, np.float32)
        scores[: len(vectors)] = vectors @ embedding
        if len(new):
            scores[new.items] = new.vectors @ for_new_items
        return scores
    scores, is_old, places = np.full(len(items), -np.inf, np.float32), items < len(vectors), new.places(items)
    scores[is_old] = vectors[items[is_old]] @ embedding
    if (places >= 0).any():
        scores[places >= 0] = new.vectors[places[places >= 0]] @ for_new_items
    return scores


def _propensities(run: PipelineRun, embedding: FloatArray, items: ItemIndexes | None) -> FloatArray:
    """Return how likely actions are taken, -inf for those that may not be recommended now."""
    count = len(run.model.action_ids)
    chosen, likely = recommended_actions(run, embedding, limit=count)
    propensities = np.full(count, -np.inf, np.float32)
    propensities[chosen] = likely
    return propensities if items is None else propensities[items]


def _alone(scores: FloatArray) -> _Parts:
    return _Parts(scores, np.zeros_like(scores), np.zeros_like(scores))


def _dense(deltas: ScoreDelta, count: int) -> FloatArray:
    values = np.zeros(count, np.float32)
    values[deltas.items] = deltas.values
    return values


def _rank(scores: FloatArray, score: np.float32) -> int:
    return 1 + int(np.count_nonzero(scores > score))


def _contributions(
    history: History, items: ItemIndexes, score: _Score, *, most: int
) -> Sequence[Sequence[Contribution]]:
    """Return what of the history counts most for each of some items: leave its newest items out, one at a time."""
    if not most or not len(items) or not len(history):
        return [()] * len(items)
    newest = list(dict.fromkeys(history.items[::-1].tolist()))
    left_out = [item for item in newest if item >= 0][:WINDOW]
    total = score(history, items).total
    # float32 [left out, items]
    changes = np.array([total - score(history.without(item), items).total for item in left_out], np.float32)
    order = np.argsort(-np.abs(changes), axis=0, kind="stable")[:most]
    return [
        [
            Contribution(left_out[row], float(changes[row, place]))
            for row in order[:, place].tolist()
            if np.isfinite(changes[row, place]) and changes[row, place] != 0.0
        ]
        for place in range(len(items))
    ]


def _is_exact(run: PipelineRun, totals: FloatArray, allowed: NDArray[np.bool_]) -> bool:
    """Return whether nothing scores higher than what is in the list for its score, but for what gave its place up."""
    in_list = run.items[run.items < len(totals)]
    replaced = [item for item in in_list.tolist() if item in run.promoted or item in run.reasons]
    by_score = in_list[~np.isin(in_list, replaced)]
    if not len(by_score):
        return True
    lowest = totals[by_score].min()
    tolerance = _TOLERANCE * max(1.0, abs(float(lowest)))
    higher = (totals > lowest + tolerance) & allowed
    higher[in_list] = False
    return int(np.count_nonzero(higher)) <= len(replaced)
