"""New items: those that came after the model was trained are scored one by one and take their places among the best.

There are few of them beside a catalogue, and no index has them.
"""

from __future__ import annotations

import numpy as np

from inference.run import PipelineRun
from inference.user_state import UserState
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.top_k import top_k

__all__ = ["add_new_items"]

#: Where fewer of those that suit a user may be returned, all that may be are scored.
_ENOUGH = 2


def add_new_items(run: PipelineRun) -> None:
    """Write the best items, those that came after the model included, and their shares in the softmax.

    Shares are over as many of the best as before, new items among them; of a list over all of it.
    """
    if not len(run.new_items):
        return
    items = _chosen(run)
    if not len(items):
        return
    scores = run.new_items.vectors[run.new_items.places(items)] @ _embedding(run.state)
    if run.bonus is not None:
        scores += run.bonus.of(items)
    best = top_k(scores, max(run.limit, run.shared or len(scores)))
    _merge(run, items[best], scores[best])


def _chosen(run: PipelineRun) -> ItemIndexes:
    """Return the new items that are scored: int32, all different."""
    new, candidates = run.new_items, run.candidates
    if candidates.ordered:
        n_items = len(run.model.item_ids)
        listed = candidates.items(n_items + len(run.model.new_items.ids))
        listed = listed[listed >= n_items]
        return listed[new.places(listed) >= 0]
    if new.lists is None:
        return candidates.among(new.items)
    suitable = new.items[new.lists.of(_embedding(run.state))]
    if run.bonus is not None:
        lifted = run.bonus.worthwhile
        suitable = np.union1d(suitable, lifted[new.places(lifted) >= 0])
    if candidates.restricts:
        suitable = suitable[candidates.contains(suitable)]
        if len(suitable) < _ENOUGH * run.limit:
            return candidates.among(new.items)
    return suitable


def _embedding(state: UserState) -> FloatArray:
    """Return what new items are scored by."""
    return state.embedding if state.for_new_items is None else state.for_new_items


def _merge(run: PipelineRun, items: ItemIndexes, scores: FloatArray) -> None:
    """Put items among the best.

    Args:
        run: Has the best of the model.
        items: int32 [k], best first.
        scores: float32 [k], theirs.
    """
    shared = np.concatenate([run.best_scores, scores])
    shared = shared[top_k(shared, run.shared or len(shared))]
    run.best_scores, run.highest = shared, shared[0]
    run.total = np.exp(shared - run.highest).sum()
    every = np.concatenate([run.top_scores, scores])
    places = (-every).argsort(kind="stable")[: run.limit]
    run.items = np.concatenate([run.items, items])[places]
    run.top_scores = every[places]
    run.shares = np.exp(run.top_scores - run.highest) / run.total
