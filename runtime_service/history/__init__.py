"""Recent events by user: written by one process per host, read by all its workers.

Everything here can be rebuilt from the event log; the place in the log up to which the histories are complete is kept
with them, and both change in one transaction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime_service.domain.histories import RecentEvent

__all__ = ["HistoryReader", "HistoryWriter", "LoggedEvent", "RecentHistory"]


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


class RecentHistory(Protocol):
    """What is known of one user."""

    @property
    def last_offset(self) -> int:
        """Offset of the newest event; grows with every change."""

    def events(self) -> list[RecentEvent]:
        """Return the events in the order of their arrival."""


class HistoryReader(Protocol):
    """Looks histories up; used by one thread."""

    def find(self, dataset_group_arn: str, user_id: str) -> RecentHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: int) -> list[int]:
        """Return how often each item was shown; many times are not told from more.

        Events that list what they showed count behind an offset, those that refer to an answer always: no training
        counts them.
        """

    def note_answer(self, recommendation_id: str, dataset_group_arn: str, item_ids: Sequence[str]) -> None:
        """Keep which items an answer shows, for events that will refer to it."""

    def close(self) -> None:
        """Give the files free."""


class HistoryWriter(Protocol):
    """Follows the log; there is one per host."""

    def next_offset(self) -> int:
        """Return the place in the log to go on from; 1 at first."""

    def append(self, events: Sequence[LoggedEvent], *, next_offset: int) -> None:
        """Add events and move on, all or nothing; events before the present place are known and passed over.

        An event that carries a session and a user gives the user what the session did before.
        """

    def skip(self, next_offset: int) -> None:
        """Move on to a later place without the events between, which the log no longer has."""

    def clear(self) -> None:
        """Forget everything, to begin with the log at 1."""

    def close(self) -> None:
        """Give the files free."""
