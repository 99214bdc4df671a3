"""What a user did, until the training and since: what filters of events read, and automatic filters of use cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from common.filters import Dataset, Target, event_key
from inference.past_events import PastEvents
from inference.recent_events import RecentEvent, RecentHistory
from recipes.data.histories import ItemIndexes
from runtime_service.domain.filters import EventWindow
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment

__all__ = ["UsedItems", "UserEvents"]

_DATASETS: Final[Mapping[Target, Dataset]] = {
    Target.ITEM: Dataset.INTERACTIONS, Target.ACTION: Dataset.ACTION_INTERACTIONS
}  # fmt: skip
_NOTHING: Final[Mapping[str, ItemIndexes]] = {}


@dataclass(frozen=True, slots=True)
class UsedItems:
    """The items, or actions, that a user had to do with, by type of event as filters compare types.

    Attributes:
        items: Those of until the training that the model knows, int32 [k], ascending.
        ids: Ids of the others, and of all that came since; some are there twice.
    """

    items: Mapping[str, ItemIndexes]
    ids: Mapping[str, list[str]]


class UserEvents:
    """Reads what users did.

    Args:
        histories: What they did a moment ago.
        window: How much of it counts.
    """

    def __init__(self, histories: HistoryReader, window: EventWindow) -> None:
        self._histories = histories
        self._window = window

    def find(
        self,
        deployment: Deployment,
        user_id: str,
        *,
        target: Target,
        types: frozenset[str] | None,
        seen: dict[str, RecentHistory | None] | None = None,
    ) -> UsedItems:
        """Return what a user had to do with.

        Args:
            deployment: What answers; has the past.
            user_id: The user, known or not.
            target: Whether items or actions are asked for.
            types: The types of events to return, as `event_key` writes them; None for all.
            seen: By type of dataset the recent events of this user that the request has looked up already, if it has;
                those that are looked up here are put in.
        """
        model, dataset = deployment.model, _DATASETS[target]
        past, window = (
            (model.past, self._window.items) if target is Target.ITEM else (model.past_actions, self._window.actions)
        )
        name, seen = dataset.upper(), {} if seen is None else seen
        if name not in seen:
            group = deployment.assignment.dataset_group_arn
            seen[name] = self._histories.find(group, user_id, dataset_type=name)
        recent = seen[name]
        by_type: dict[str, list[RecentEvent]] = {}
        contained = 0
        if recent is not None:
            contained = recent.lineage.shared(model.watermark)
            by_type = _by_type(recent.events(), dataset, types)
        if window is not None:
            newer = {name: sum(event.offset > contained for event in events) for name, events in by_type.items()}
            by_type = {name: _newest(events, window) for name, events in by_type.items()}
        else:
            newer = {}
        used = _NOTHING if past is None else past.of_user(user_id, types, window=window, newer=newer)
        ids = {name: [event.item_id for event in events] for name, events in by_type.items()}
        return UsedItems(used, ids) if past is None else _split(past, used, ids)


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
