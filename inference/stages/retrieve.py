"""Retrieval: which items are worth scoring, so that a request costs what it asks for and not what the catalogue has.

What is left to be scored has, for certain or nearly so, the best that may be returned, and few others. The cheapest
way is taken: few candidates are scored as they are; others are searched for with the index, or, where a filter chose
them, with the scan, which is exact. Where hardly anything is left out, it is asked for so many items more; else the
scan takes only what may be returned. Where there is no scan, or the index finds too few, there is no shortlist:
all items are scored, each once, which is exact too.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.run import SHARED, PipelineRun
from recipes.data.histories import ItemIndexes
from recipes.retrieval.interface import Nearest

__all__ = ["Retrieve", "retrieve"]


class Retrieve:
    """Chooses the shortlist.

    Args:
        few: Candidates up to this number at most are scored one by one rather than searched for.
        few_share: Share of the catalogue up to which that is done: gathering the vectors of more costs what a search
            among all of them does.
        excluded: So many items that may not be returned are made up for by asking for more.
    """

    def __init__(self, *, few: int = 20_000, few_share: float = 0.125, excluded: int = 200) -> None:
        self._few = few
        self._few_share = few_share
        self._excluded = excluded

    def __call__(self, run: PipelineRun) -> None:
        """Write the shortlist, whether it has the best for certain, and over how many items shares are taken."""
        candidates, n_items = run.candidates, len(run.model.item_ids)
        run.exact = True
        if candidates.ordered:
            run.shared, run.shortlist = 0, candidates.items(n_items)
            return
        run.shared = SHARED
        count = candidates.count(n_items)
        if candidates.restricts and count <= min(self._few_share * n_items, self._few):
            run.shortlist = candidates.items(n_items)
            return
        excluded = n_items - count
        run.shortlist = self._search(run, excluded=excluded, n_items=n_items)
        run.exact = run.exact or run.shortlist is None

    def _search(self, run: PipelineRun, *, excluded: int, n_items: int) -> ItemIndexes | None:
        """Search for the best, the items of deltas beside them; None where all items have to be scored.

        Items with deltas are scored in any case. Of the others, those that are lowered push items out of the first
        places.

        Returns:
            int32, ascending, all of them candidates.
        """
        scan, candidates = run.model.scan, run.candidates
        index = scan if run.filtered else run.model.index
        depth = max(run.limit, SHARED)
        query, limit = run.state.embedding, depth + _lowered(run)
        if index is not None and excluded <= self._excluded:
            if limit + excluded >= n_items:
                return None
            items = _with_deltas(run, index.nearest(query, limit + excluded))
            if candidates.restricts:
                items = items[candidates.contains(items)]
            if len(items) >= min(depth, n_items - excluded):
                return items
        if index is None or scan is None or limit >= n_items:
            return None
        if not candidates.restricts:
            return _with_deltas(run, scan.nearest(query, limit))
        allowed = candidates.mask(n_items)
        items = _with_deltas(run, scan.nearest(query, limit, allowed))
        return items[allowed[items]]


retrieve: Final = Retrieve()


def _lowered(run: PipelineRun) -> int:
    """Count the items whose scores are lowered."""
    lowered = int(np.count_nonzero(run.state.score_deltas.values < 0))
    return lowered if run.bonus is None else lowered + int(np.count_nonzero(run.bonus.values < 0))


def _with_deltas(run: PipelineRun, nearest: Nearest) -> ItemIndexes:
    """Put the items of deltas beside what was found, and note whether that was proven: int32, ascending."""
    run.exact = nearest.proven
    parts = [nearest.items, run.state.score_deltas.items]
    if run.bonus is not None:
        lifted = run.bonus.worthwhile
        parts.append(lifted[: int(lifted.searchsorted(len(run.model.item_ids)))])
        run.exact = run.exact and len(lifted) == len(run.bonus.items)
    items = np.concatenate(parts)
    items.sort()
    differs = np.empty(len(items), bool)
    differs[:1] = True
    np.not_equal(items[1:], items[:-1], out=differs[1:])
    return items[differs]
