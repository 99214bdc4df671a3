"""One user's history at this moment: the snapshot that the artifact was trained on, then what happened since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RecentEvent", "continue_history", "newer_events"]


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """One acknowledged event of a user with an item.

    Attributes:
        offset: From which place of the log on it counts for the user; for an event before log-in that is the place of
            the event that tied the session to the user.
        millis: When it happened, milliseconds since 1970-01-01 UTC.
        event_type: E.g. `watch`.
        item_id: The item.
        fingerprint: Stands for the event's id: an event that was sent twice counts once.
    """

    offset: int
    millis: int
    event_type: str
    item_id: str
    fingerprint: int


def newer_events(events: Iterable[RecentEvent], *, watermark: int, event_type: str | None) -> list[RecentEvent]:
    """Return the events that a snapshot does not contain, oldest first.

    Args:
        events: In the order of their arrival.
        watermark: Offset of the last event that the snapshot contains.
        event_type: The only type that counts; None for all.
    """
    found = [
        event for event in events if event.offset > watermark and (event_type is None or event.event_type == event_type)
    ]
    found.sort(key=lambda event: event.millis)  # stable: events of one moment stay as they came
    return found


def continue_history(
    snapshot: NDArray[np.int32],
    events: Sequence[RecentEvent],
    *,
    index_of: Callable[[str], int | None],
    limit: int,
) -> NDArray[np.int32]:
    """Append recent events to a history.

    Args:
        snapshot: int32 [m], item indexes, oldest first.
        events: Oldest first.
        index_of: Gives an item's index, None for items that the model does not know; those are left out.
        limit: Length of the result at most; the newest stay.

    Returns:
        int32 [up to limit].
    """
    indexes = [index for event in events if (index := index_of(event.item_id)) is not None]
    return np.concatenate([snapshot, np.array(indexes, np.int32)])[-limit:]
