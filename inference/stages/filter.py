"""The best of what was scored, and what is shown as their scores.

The score of an item is its share: exp(its score) over the sum of exp(score) of the hundred best that may be returned,
however many are asked for and whichever way found them (ADR 0037). Of a list that the caller gave it is the share among
the whole list.
"""

from __future__ import annotations

import numpy as np

from inference.run import PipelineRun
from recipes.retrieval.top_k import top_k

__all__ = ["keep_best"]


def keep_best(run: PipelineRun) -> None:
    """Write the best items that may be returned, and their shares."""
    items, scores, depth = run.shortlist, run.scores, max(run.limit, run.shared or len(run.scores))
    if items is None and run.candidates.restricts:
        allowed = run.candidates.mask(len(scores))
        scores[~allowed] = -np.inf
        depth = min(depth, int(np.count_nonzero(allowed)))
    places = top_k(scores, depth)
    best = scores[places]
    run.items = places[: run.limit] if items is None else items[places[: run.limit]]
    run.top_scores, run.best_scores = best[: run.limit], best[: run.shared or len(best)]
    if len(best):
        run.highest = highest = best[0]
        run.total = np.exp(run.best_scores - highest).sum()
        run.shares = np.exp(run.top_scores - highest) / run.total
    else:
        run.shares = run.top_scores
