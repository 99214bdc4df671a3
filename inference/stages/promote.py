"""Promotion: a share of the places goes to the best of some items, whatever the others score.

As Personalize does it, promoted items are chosen from all items that their own filter lets pass, stand at random places
among the others, and keep their order among themselves; where there are too few of them, others take their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inference.result import PROMOTED
from inference.run import PipelineRun, Stage

__all__ = ["Promote"]


class Promote:
    """Puts promoted items into the list.

    Args:
        find: The stages that find the best of a candidate set.
    """

    def __init__(self, find: Sequence[Stage]) -> None:
        self._find = find

    def __call__(self, run: PipelineRun) -> None:
        """Replace the last items by promoted ones, and place these at random."""
        promotion = run.request.promotion
        if promotion is None:
            return
        places = max(1, int(promotion.share * run.limit + 0.5))
        promoted = replace(run, candidates=promotion.candidates, limit=places, filtered=True, bonus=None)
        for stage in self._find:
            stage(promoted)
        run.exact = run.exact and promoted.exact
        items = promoted.items
        others = np.flatnonzero(~np.isin(run.items, items))[: run.limit - len(items)]
        # Where nothing else may be returned, shares are of what is promoted. What scores above everything that may be
        # returned is shown as the best of that: shares are at most 1.
        base = run if len(run.items) else promoted
        scores = np.minimum(promoted.top_scores, base.highest)
        size = len(others) + len(items)
        at = np.zeros(size, bool)
        at[run.random.choice(size, len(items), replace=False)] = True
        merged, shares = np.empty(size, np.int32), np.empty(size, np.float32)
        merged[at], merged[~at] = items, run.items[others]
        shares[at], shares[~at] = np.exp(scores - base.highest) / base.total, run.shares[others]
        run.items, run.shares = merged, shares
        run.promoted.update(dict.fromkeys(items.tolist(), promotion.name))
        run.reasons.update(dict.fromkeys(items.tolist(), PROMOTED))
