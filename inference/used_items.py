"""What a user did, until the training and since: what filters of events read, and automatic filters of use cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from common.filters import Dataset, Target, event_key
from inference.past_events import PastEvents
from inference.recent_events import RecentEvent, RecentHistory
from recipes.data.histories import ItemIndexes

if TYPE_CHECKING:  # trainers read the settings of filters when they start, without Numba and what that compiles
    from inference.model import Model

__all__ = ["WHOLE_HISTORY", "EventWindow", "UsedItems", "left_out_items", "used_dataset", "used_items"]

_DATASETS: Final[Mapping[Target, Dataset]] = {
    Target.ITEM: Dataset.INTERACTIONS, Target.ACTION: Dataset.ACTION_INTERACTIONS
}  # fmt: skip
_NOTHING: Final[Mapping[str, ItemIndexes]] = {}
_NO_ITEMS: Final = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class EventWindow:
    """How many of a user's newest events of each type filters read; None for all that are kept.

    Attributes:
        items: Of interactions with items; Personalize reads 100.
        actions: Of interactions with actions; Personalize reads 300.
    """

    items: int | None = None
    actions: int | None = None


#: All that is kept.
WHOLE_HISTORY: Final = EventWindow()


@dataclass(frozen=True, slots=True)
class UsedItems:
    """The items, or actions, that a user had to do with, by type of event as filters compare types.

    Attributes:
        items: Those of until the training that the model knows, int32 [k], ascending.
        ids: Ids of the others, and of all that came since; some are there twice.
    """

    items: Mapping[str, ItemIndexes]
    ids: Mapping[str, list[str]]


def used_dataset(target: Target) -> Dataset:
    """Return the dataset that says what users did with what is chosen."""
    return _DATASETS[target]


def used_items(
    model: Model,
    recent: RecentHistory | None,
    user_id: str,
    *,
    target: Target,
    types: frozenset[str] | None,
    window: EventWindow = WHOLE_HISTORY,
) -> UsedItems:
    """Return what a user had to do with.

    Args:
        model: Has the past.
        recent: What the user did lately with what is asked for; None for nothing.
        user_id: The user, known or not.
        target: Whether items or actions are asked for.
        types: The types of events to return, as `event_key` writes them; None for all.
        window: How much of it counts.
    """
    past, newest = (model.past, window.items) if target is Target.ITEM else (model.past_actions, window.actions)
    by_type: dict[str, list[RecentEvent]] = {}
    contained = 0
    if recent is not None:
        contained = recent.lineage.shared(model.watermark)
        by_type = _by_type(recent.events(), _DATASETS[target], types)
    newer: dict[str, int] = {}
    if newest is not None:
        newer = {name: sum(event.offset > contained for event in events) for name, events in by_type.items()}
        by_type = {name: _newest(events, newest) for name, events in by_type.items()}
    used = _NOTHING if past is None else past.of_user(user_id, types, window=newest, newer=newer)
    ids = {name: [event.item_id for event in events] for name, events in by_type.items()}
    return UsedItems(used, ids) if past is None else _split(past, used, ids)


def left_out_items(model: Model, used: UsedItems) -> ItemIndexes:
    """Return the items of what was used, int32 [k], ascending; those that nobody has named since are not among them."""
    newer = [model.item_indexes(set(ids)) for ids in used.ids.values()]
    items = np.unique(np.concatenate([_NO_ITEMS, *used.items.values(), *newer]))
    return items[items >= 0]


def _by_type(
    events: Iterable[RecentEvent], dataset: Dataset, types: frozenset[str] | None
) -> dict[str, list[RecentEvent]]:
    by_type: dict[str, list[RecentEvent]] = {}
    #: By type as it was sent; None of those that do not count. There are few, so each is compared once.
    lists: dict[str, list[RecentEvent] | None] = {}
    for event in events:
        event_type = event.event_type
        if event_type not in lists:
            key = event_key(dataset, event_type)
            lists[event_type] = by_type.setdefault(key, []) if types is None or key in types else None
        if (of_type := lists[event_type]) is not None:
            of_type.append(event)
    return by_type


def _newest(events: list[RecentEvent], window: int) -> list[RecentEvent]:
    if len(events) <= window:
        return events
    return sorted(events, key=lambda event: event.millis)[len(events) - window :]


def _split(past: PastEvents, used: Mapping[str, ItemIndexes], ids: dict[str, list[str]]) -> UsedItems:
    """Name those items of the past that the model does not know."""
    listed = dict(used)
    for name, items in used.items():
        if len(items) and items[-1] >= past.n_items:
            place = int(items.searchsorted(past.n_items))
            listed[name] = items[:place]
            others = past.other_items.ids((items[place:] - past.n_items).tolist())
            ids[name] = [*others, *ids.get(name, ())]
    return UsedItems(listed, ids)
