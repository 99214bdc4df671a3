"""Recent events by user, and counts of them by item: written by one process per host, read by all its workers.

Everything here can be rebuilt from the event log; the place in the log up to which all of it is complete is kept with
it, and changes in the same transaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.positions import Lineage, Position
from inference.recent_events import RecentHistory

__all__ = ["BucketCounts", "Counted", "HistoryReader", "HistoryWriter", "LoggedEvent"]


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as the log gives it, with what matters for histories.

    Attributes:
        offset: Place in the log, rising.
        dataset_group_arn: Whose users and items these are.
        session_id: Session it was sent in; empty for none.
        user_id: The user; empty before log-in.
        item_id: The item; empty for events without one.
        event_type: E.g. `watch`.
        event_id: Equal for an event that is sent again.
        millis: When it happened, milliseconds since 1970-01-01 UTC.
        value: The event's value; NaN for none.
        shown: Items that were shown to the user when it happened, as the event itself says.
        recommendation_id: The answer that the event refers to, which tells the same where the event does not; empty for
            none.
    """

    offset: int
    dataset_group_arn: str
    session_id: str
    user_id: str
    item_id: str
    event_type: str
    event_id: str
    millis: int
    value: float = math.nan
    shown: tuple[str, ...] = ()
    recommendation_id: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """One counter.

    Attributes:
        event_type: E.g. `watch`.
        item_id: The item.
        count: Events of that type with that item.
    """

    event_type: str
    item_id: str
    count: int


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """One quarter of an hour.

    Attributes:
        bucket: Seconds since 1970 by 900.
        last: Place of the event that was counted last.
        counters: By event type and item; None where nothing changed.
    """

    bucket: int
    last: Position
    counters: tuple[Counted, ...] | None


class HistoryReader(Protocol):
    """Looks up what was written."""

    def find(self, dataset_group_arn: str, user_id: str) -> RecentHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: Position) -> list[int]:
        """Return how often each item was shown; many times are not told from more.

        Events that list what they showed count behind a place, those that refer to an answer always: no training
        counts them.
        """

    def note_answer(self, recommendation_id: str, dataset_group_arn: str, item_ids: Sequence[str]) -> None:
        """Keep which items an answer shows, for events that will refer to it."""

    def counts(self, dataset_group_arn: str, *, first_bucket: int, known: Mapping[int, Position]) -> list[BucketCounts]:
        """Return how often everybody used each item, by quarter of an hour; also from another thread, one at a time.

        Args:
            dataset_group_arn: Whose items.
            first_bucket: The oldest that is wanted.
            known: The last place of each bucket that was read before; what is the same is not read again.
        """

    def close(self) -> None:
        """Give the files free."""


class HistoryWriter(Protocol):
    """Follows the log; there is one per host."""

    def next_offset(self) -> int:
        """Return the place in the log to go on from; 1 at first."""

    def lineage(self) -> Lineage:
        """Return the epochs of the log that everything here is of."""

    def append(self, events: Sequence[LoggedEvent], *, next_offset: int, lineage: Lineage | None = None) -> None:
        """Add events and move on, all or nothing; events before the present place are known and passed over.

        An event that carries a session and a user gives the user what the session did before.

        Args:
            events: In the order of the log.
            next_offset: The new place.
            lineage: Of the log, when it is not the known one any more; what is here is on it.
        """

    def forget(self, dataset_group_arn: str, *, up_to: int) -> Iterator[None]:
        """Remove what is known of a group's events up to an offset, in steps that the caller goes through."""

    def skip(self, next_offset: int) -> None:
        """Forget everything and move on to a later place: the log no longer has what lies between."""

    def clear(self) -> None:
        """Forget everything, to begin with a log at 1."""

    def close(self) -> None:
        """Give the files free."""
