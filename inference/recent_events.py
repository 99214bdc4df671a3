"""What happened since the snapshot that a model was trained on: events, which of them count, and their steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from common.positions import Lineage, Position
from recipes.data.histories import History

__all__ = ["EventRule", "RecentEvent", "RecentHistory", "newer_events", "to_history"]


class RecentEvent(NamedTuple):
    """One acknowledged event of a user with an item; a tuple, as a request may read hundreds of them.

    Attributes:
        offset: From which place of the log on it counts for the user; for an event before log-in that is the place of
            the event that tied the session to the user.
        millis: When it happened, milliseconds since 1970-01-01 UTC.
        event_type: E.g. `watch`.
        item_id: The item.
        fingerprint: Stands for the event's id: an event that was sent twice counts once.
        value: The event's value; NaN for none.
    """

    offset: int
    millis: int
    event_type: str
    item_id: str
    fingerprint: int
    value: float = math.nan


class RecentHistory(Protocol):
    """The recent events of one user, or of one session."""

    @property
    def last_offset(self) -> int:
        """Offset of the newest event; grows with every event."""

    @property
    def size(self) -> int:
        """Bytes or events that are kept: other ones when older events were removed, though the newest is the same."""

    @property
    def lineage(self) -> Lineage:
        """The epochs of the log whose offsets these are."""

    def events(self) -> Sequence[RecentEvent]:
        """Return the events in the order of their arrival; calling it again costs nothing."""

    def up_to(self, position: Position) -> RecentHistory | None:
        """Return the history as it was at a position of the log, as far as it is kept; None for no events."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """Events that count.

    Attributes:
        event_type: Their type, exactly; None for any.
        least_value: Their value at least, so that events without one do not count; None for any.
    """

    event_type: str | None
    least_value: float | None

    def takes(self, event: RecentEvent) -> bool:
        """Whether an event counts by this rule."""
        if self.event_type is not None and event.event_type != self.event_type:
            return False
        return self.least_value is None or event.value >= self.least_value


def newer_events(
    events: Iterable[RecentEvent], *, watermark: int, event_type: str | None, rules: Sequence[EventRule] = ()
) -> list[RecentEvent]:
    """Return the events that a snapshot does not contain, oldest first.

    Args:
        events: In the order of their arrival.
        watermark: Offset of the last event that the snapshot contains.
        event_type: The only type that counts; None for all.
        rules: Events count that one of them takes; without rules all do.
    """
    newer = [
        event for event in events if event.offset > watermark and (event_type is None or event.event_type == event_type)
    ]
    if rules:
        newer = [event for event in newer if any(rule.takes(event) for rule in rules)]
    newer.sort(key=lambda event: event.millis)  # stable: events of one moment stay as they came
    return newer


def to_history(
    events: Iterable[RecentEvent], *, index_of: Callable[[str], int | None], event_types: Mapping[str, int]
) -> History:
    """Translate events for a model.

    Args:
        events: Oldest first.
        index_of: Gives an item's index, None for items that the model does not know; those are left out.
        event_types: Numbers of the event types that the model knows, from 1 on; others become 0.
    """
    steps = [
        (index, event_types.get(event.event_type, 0), event.millis // 1000)
        for event in events
        if (index := index_of(event.item_id)) is not None
    ]
    return History(
        np.array([item for item, _, _ in steps], np.int32),
        np.array([event_type for _, event_type, _ in steps], np.uint8),
        np.array([seconds for _, _, seconds in steps], np.int64),
    )
