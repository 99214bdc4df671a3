"""Retrieval: which items are worth scoring, so that a request costs what it asks for and not what the catalogue has."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.run import PipelineRun
from recipes.data.histories import ItemIndexes
from recipes.retrieval.interface import ItemIndex

__all__ = ["Retrieve", "retrieve"]

#: Items that shares are taken over where an index finds them, and that it is asked for at least: what calibration
#: measured, and enough for a share to mean something.
_SHARED: Final = 100
#: What a filter lets pass may be so many times rarer among the best than everywhere.
_OVER_FETCH: Final = 1.5


class Retrieve:
    """Chooses the shortlist: all items without an index, few candidates as they are, else what the index finds.

    Args:
        few: With an index, candidates up to this number at most are scored one by one rather than searched for.
        few_share: Share of the catalogue up to which that is done, with an index or without: gathering the vectors of
            more costs what a product with all of them does.
    """

    def __init__(self, *, few: int = 20_000, few_share: float = 0.125) -> None:
        self._few = few
        self._few_share = few_share

    def __call__(self, run: PipelineRun) -> None:
        """Write the shortlist, and over how many items shares are taken."""
        index, candidates, n_items = run.model.index, run.candidates, len(run.model.item_ids)
        if index is not None and not candidates.ordered:
            run.shared = max(run.limit, _SHARED)
        if not candidates.restricts:
            run.shortlist = None if index is None else _search(run, index, excluded=0, n_items=n_items)
            return
        count = candidates.count(n_items)
        few = self._few_share * n_items
        if candidates.ordered or count <= (few if index is None else min(few, self._few)):
            run.shortlist = candidates.items(n_items)
        else:
            run.shortlist = None if index is None else _search(run, index, excluded=n_items - count, n_items=n_items)


retrieve: Final = Retrieve()


def _search(run: PipelineRun, index: ItemIndex, *, excluded: int, n_items: int) -> ItemIndexes | None:
    """Ask the index for enough that none of the best is missed; None where that is all there is.

    Items with deltas are scored in any case. Of the others, those that are lowered or that may not be returned push
    items out of the index's first places.

    Returns:
        int32, ascending.
    """
    deltas = run.state.score_deltas
    limit = run.shared or run.limit
    if excluded:
        limit = min(limit + excluded, int(_OVER_FETCH * limit * n_items / (n_items - excluded)) + 1)
    limit += int((deltas.values < 0).sum())
    if limit >= n_items:
        return None
    parts = [index.nearest(run.state.embedding, limit), deltas.items]
    if run.bonus is not None:
        parts.append(run.bonus.worthwhile[run.bonus.worthwhile < n_items])
    return np.unique(np.concatenate(parts))
