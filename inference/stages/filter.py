"""The best of what was scored, and what is shown as their scores.

The score of an item is its share: exp(its score) over the sum of exp(score) of the hundred best that may be returned,
however many are asked for and whichever way found them (ADR 0037). Of a list that the caller gave it is the share among
the whole list.
"""

from __future__ import annotations

import numpy as np

from inference.run import PipelineRun
from recipes.retrieval.top_k import best_shares

__all__ = ["keep_best"]


def keep_best(run: PipelineRun) -> None:
    """Write the best items that may be returned, and their shares."""
    items, scores, most = run.shortlist, run.scores, len(run.scores)
    if items is None and run.candidates.restricts:
        allowed = run.candidates.mask(most)
        scores[~allowed] = -np.inf
        most = int(np.count_nonzero(allowed))
    limit, shared = min(run.limit, most), min(run.shared or most, most)
    places, best, run.shares, run.total = best_shares(scores, limit, shared)
    run.items = places if items is None else items[places]
    run.top_scores, run.best_scores = best[:limit], best[:shared]
    if len(best):
        run.highest = best[0]
