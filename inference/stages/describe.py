"""Description: ids, scores as they are shown, and what else is to be said of each item."""

from __future__ import annotations

from collections.abc import Sequence

from inference.result import ScoredItems
from inference.run import PipelineRun
from recipes.retrieval.top_k import rounded

__all__ = ["describe", "describe_actions"]


def describe(run: PipelineRun) -> None:
    """Write the result, of items."""
    items, names, request = run.items.tolist(), run.model.item_ids, run.request
    n_items, new_id = len(names), run.model.new_items.ids.id
    item_ids = [names[item] if item < n_items else new_id(item) for item in items]
    returns_scores = run.model.recipe.returns_scores
    scores: Sequence[float | None] = _shown(run) if returns_scores else [None] * len(items)
    if unknown_ids := run.candidates.unknown_ids:
        item_ids, scores = [*item_ids, *unknown_ids], [*scores, *[None] * len(unknown_ids)]
    run.result = ScoredItems(run.items, item_ids, scores)
    if run.reasons and run.model.recipe.returns_reasons:
        run.result.reasons.update(_by_place(items, run.reasons))
    if run.promoted:
        run.result.promotions.update(_by_place(items, run.promoted))
    for name, text_of in request.columns.items():
        run.result.columns[name] = list(map(text_of, item_ids))


def describe_actions(run: PipelineRun) -> None:
    """Write the result, of actions, each with its propensity."""
    run.result = ScoredItems(run.items, [run.model.action_ids[action] for action in run.items.tolist()], _shown(run))


def _shown(run: PipelineRun) -> Sequence[float | None]:
    """Return shares with seven decimals; None for an item that has none."""
    scores: list[float] = rounded(run.shares).tolist()
    if not run.reasons:
        return scores
    return [score if score == score else None for score in scores]


def _by_place(items: list[int], values: dict[int, str]) -> dict[int, str]:
    return {place: values[item] for place, item in enumerate(items) if item in values}
