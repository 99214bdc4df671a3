"""Retrieval: which items are worth scoring, so that a request costs what it asks for and not what the catalogue has.

What is left to be scored has, for certain or nearly so, the best that may be returned, and few others. The cheapest
way is taken: few candidates are scored as they are; others are searched for with the index, or, where a filter chose
them or more are wanted than the index was measured to be good for, with the scan, which is exact. Where hardly anything
is left out, it is asked for so many items more; else the scan takes only what may be returned. What a filter that is
used again lets pass has a scan of its own, whose work is in proportion to that. Where the index finds too few, the scan
is taken; where there is none, or nearly all are wanted, there is no shortlist: all items are scored, each once, which
is exact too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.run import SHARED, PipelineRun
from recipes.components.exploration import Bonus
from recipes.data.histories import ItemIndexes
from recipes.retrieval.interface import Nearest
from recipes.retrieval.reaching import best_of_both, lowered_among, reaching_deltas
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.scan import ScanIndex

__all__ = ["Retrieve", "retrieve"]

#: Tells which of some items may be returned.
_Contains = Callable[[ItemIndexes], NDArray[np.bool_]]
#: What float32 arithmetic may add to a bound, as a share of it.
_ROUNDING: Final = 1e-5


class Retrieve:
    """Chooses the shortlist.

    Args:
        few: Candidates up to this number at most are scored one by one rather than searched for.
        few_share: Share of the catalogue up to which that is done: gathering the vectors of more costs what a search
            among all of them does.
        few_searched: The same of candidates that have a search of their own.
        excluded: So many items that may not be returned are made up for by asking for more.
    """

    def __init__(
        self, *, few: int = 20_000, few_share: float = 0.125, few_searched: int = 1_000, excluded: int = 200
    ) -> None:
        self._few = few
        self._few_searched = few_searched
        self._few_share = few_share
        self._excluded = excluded

    def __call__(self, run: PipelineRun) -> None:
        """Write the shortlist, whether it has the best for certain, and over how many items shares are taken."""
        candidates, n_items = run.candidates, len(run.model.item_ids)
        run.exact, run.added = True, None
        if candidates.ordered:
            run.shared, run.shortlist = 0, candidates.items(n_items)
            return
        run.shared = SHARED
        count = candidates.count(n_items)
        search, few = candidates.search(), min(self._few_share * n_items, self._few)
        if candidates.restricts and count <= (few if search is None else self._few_searched):
            run.shortlist = candidates.items(n_items)
            return
        if search is not None:
            run.shortlist = self._search_own(run, search, excluded=search.size - count, n_items=n_items)
            return
        excluded = n_items - count
        run.shortlist = self._search(run, excluded=excluded, n_items=n_items)
        if run.shortlist is None:
            run.exact, run.added = True, None

    def _search_own(self, run: PipelineRun, search: ScanIndex, *, excluded: int, n_items: int) -> ItemIndexes:
        """Search for the best by the candidates' own search; as `_search`."""
        depth, query = max(run.limit, SHARED), run.state.embedding
        limit = depth + _lowered(run)
        if excluded <= self._excluded:
            return _with_deltas(run, search.nearest(query, limit + excluded), depth, run.candidates.contains)
        allowed = run.candidates.mask(n_items)
        return _with_deltas(run, search.nearest(query, limit, allowed), depth, allowed.__getitem__)

    def _search(self, run: PipelineRun, *, excluded: int, n_items: int) -> ItemIndexes | None:
        """Search for the best, the items of deltas beside them; None where all items have to be scored.

        Items that are lowered push items out of the first places, so that so many more are searched for.

        Returns:
            int32, ascending, all of them candidates.
        """
        scan, candidates = run.model.scan, run.candidates
        if scan is None and run.model.index is None:
            return None
        depth, lowered = max(run.limit, SHARED), _lowered(run)
        # Of the first few an index may find nearly all, and of those behind them far fewer.
        is_deep = run.limit + excluded > run.model.index_depth
        index = scan if run.filtered or is_deep else run.model.index
        query, limit = run.state.embedding, depth + lowered
        if index is not None and excluded <= self._excluded:
            if limit + excluded >= n_items:
                return None
            nearest = index.nearest(query, limit + excluded)
            if index is not scan and run.limit + excluded + _pushing(run, nearest, lowered) > run.model.index_depth:
                if scan is None:
                    return None
                nearest = scan.nearest(query, limit + excluded)
            contains = candidates.contains if candidates.restricts else None
            items = _with_deltas(run, nearest, depth, contains)
            if len(items) >= min(depth, n_items - excluded):
                return items
        if index is None or scan is None or limit >= n_items:
            return None
        if not candidates.restricts:
            return _with_deltas(run, scan.nearest(query, limit), depth, None)
        allowed = candidates.mask(n_items)
        return _with_deltas(run, scan.nearest(query, limit, allowed), depth, allowed.__getitem__)


retrieve: Final = Retrieve()


def _lowered(run: PipelineRun) -> int:
    """Count the items whose scores are lowered."""
    lowered = int(np.count_nonzero(run.state.score_deltas.values < 0))
    return lowered if run.bonus is None else lowered + int(np.count_nonzero(run.bonus.values < 0))


def _pushing(run: PipelineRun, nearest: Nearest, lowered: int) -> int:
    """Count the items whose scores are lowered that push others out of the first places of what was found.

    A user's repeats may be many, and are seldom what the user's vector is nearest to.
    """
    deltas, query = run.state.score_deltas, run.state.embedding
    if run.limit + lowered <= run.model.index_depth or run.bonus is not None:
        return lowered
    products = inner_products(run.model.scorer.item_vectors, nearest.items, query)
    return lowered_among(nearest.items, products, deltas.items, deltas.values, run.limit)


def _with_deltas(run: PipelineRun, nearest: Nearest, depth: int, contains: _Contains | None) -> ItemIndexes:
    """Choose the best of what was found and of the items of deltas, and note whether what was found was proven.

    Args:
        run: The request.
        nearest: What was found.
        depth: Best items that are looked at.
        contains: Tells which items may be returned; None for all.

    Returns:
        int32, ascending, all of them may be returned: the best `depth` and those that score as much as the last.
    """
    run.exact, run.added = nearest.proven, None
    if run.bonus is not None:
        items = _with_all(run, nearest, run.bonus)
        return items if contains is None else items[contains(items)]
    near, deltas, query = nearest.items, run.state.score_deltas, run.state.embedding
    if contains is not None:
        near = near[contains(near)]
    products = inner_products(run.model.scorer.item_vectors, near, query)
    bound = nearest.bound + _ROUNDING * abs(nearest.bound) if math.isfinite(nearest.bound) else nearest.bound
    added, others, values = reaching_deltas(near, products, deltas.items, deltas.values, bound, depth)
    if contains is not None:
        passing = contains(others)
        others, values = others[passing], values[passing]
    # Scored again with what is left: what is added up in one way only has the same bits everywhere.
    other_products = inner_products(run.model.scorer.item_vectors, others, query)
    items, run.added = best_of_both(near, products, added, others, other_products, values, depth)
    return items


def _with_all(run: PipelineRun, nearest: Nearest, bonus: Bonus) -> ItemIndexes:
    """Put all items with deltas and those with a bonus beside what was found: int32, ascending."""
    lifted = bonus.worthwhile
    parts = [nearest.items, run.state.score_deltas.items, lifted[: int(lifted.searchsorted(len(run.model.item_ids)))]]
    run.exact = nearest.proven and len(lifted) == len(bonus.items)
    items = np.concatenate(parts)
    items.sort()
    differs = np.empty(len(items), bool)
    differs[:1] = True
    np.not_equal(items[1:], items[:-1], out=differs[1:])
    return items[differs]
