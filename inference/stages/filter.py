"""Filtering: the best items that may be returned, exactly, however many or few may be."""

from __future__ import annotations

import numpy as np

from inference.run import PipelineRun
from inference.stages.score import score
from recipes.data.histories import FloatArray
from recipes.retrieval.top_k import top_k

__all__ = ["keep_best"]


def keep_best(run: PipelineRun) -> None:
    """Write the best items that may be returned, and their shares in the softmax.

    Where an index has found fewer items than are asked for, and there are more, all candidates are scored.
    """
    if run.shortlist is None:
        _keep_of_all(run)
        return
    items, scores = run.shortlist, run.scores
    if run.candidates.restricts and not run.candidates.ordered:
        allowed = run.candidates.contains(items)
        if not allowed.all():
            items, scores = items[allowed], scores[allowed]
    if len(items) < run.limit and run.candidates.count(len(run.model.item_ids)) > len(items):
        run.shortlist = None
        score(run)
        _keep_of_all(run)
        return
    places = top_k(scores, run.shared or len(items))
    _write(run, scores[places], of=scores[places])
    run.items = items[places[: run.limit]]


def _keep_of_all(run: PipelineRun) -> None:
    scores, limit = run.scores, run.limit
    if run.candidates.restricts:
        allowed = run.candidates.mask(len(scores))
        scores[~allowed] = -np.inf
        limit = min(limit, int(np.count_nonzero(allowed)))
    places = top_k(scores, max(limit, min(run.shared, len(scores))))
    _write(run, scores[places[:limit]], of=scores[places] if run.shared else scores)
    run.items = places[:limit]


def _write(run: PipelineRun, top_scores: FloatArray, *, of: FloatArray) -> None:
    """Write scores and shares.

    Args:
        run: To write to.
        top_scores: float32 [k], best first; more than asked for are cut off.
        of: float32 [m], what the shares are of; -inf for items that may not be returned.
    """
    run.top_scores = top_scores[: run.limit]
    if not len(run.top_scores):
        run.shares = run.top_scores
        return
    run.highest = highest = top_scores[0]
    exponentials = np.exp(of - highest)
    run.total = exponentials.sum()
    run.shares = np.exp(run.top_scores - highest) / run.total
