"""Evaluates a filter for one request, exactly: what of it does not depend on the request, and what its user did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from common.filters import Filter, RequestContext, Rows
from common.filters.expression import Scalar
from inference.filter_table import FilterTable, Passing, StaticPart
from inference.used_items import UsedItems

__all__ = ["evaluate", "user_columns"]


def evaluate(
    table: FilterTable,
    part: StaticPart,
    *,
    used: Callable[[frozenset[str] | None], UsedItems],
    user: Callable[[Sequence[str]], Mapping[str, Sequence[Scalar]] | None],
    item_id: str = "",
    unknown_ids: Sequence[str] = (),
) -> Passing:
    """Return what passes a filter.

    Args:
        table: What it is evaluated over.
        part: What of it does not depend on the request.
        used: Returns what the user had to do with, by events of some types, None for all; called where that counts.
        user: Returns the values of the user in some columns, None for a user of whom nothing is known; called where
            the filter reads any.
        item_id: The current item; empty for none.
        unknown_ids: Ids that the request names and that the model does not know.
    """
    compiled, definition = part.compiled, part.definition
    if not compiled.steps:
        return Passing(table, part)
    events: Mapping[str, Rows] = {}
    if compiled.event_types != frozenset():
        events = table.events(used(compiled.event_types), spares=table.spares(unknown_ids))
    names = user_columns(definition)
    context = RequestContext(
        events=events,
        user=user(names) if names else None,
        current_item=table.feature_row(item_id) if definition.needs_item else None,
    )
    removed = compiled.removed(context)
    return Passing(table, part, chosen=compiled.rows(context)) if removed is None else Passing(table, part, removed)


def user_columns(definition: Filter) -> list[str]:
    """Return the columns of the current user that a filter reads, by name."""
    return sorted({condition.field.name for expression in definition.expressions for condition in expression.when})
