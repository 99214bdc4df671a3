"""Recent events by user, and counts of them by item: written by one process per host, read by all its workers.

Everything here can be rebuilt from the event log; the offset up to which all of it is complete is stored with it, and
changes in the same transaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from common.deletions import DeletedUsers
from common.positions import Lineage, Position
from inference.recent_events import RecentHistory

__all__ = [
    "ACTION_INTERACTIONS",
    "INTERACTIONS",
    "BucketCounts",
    "HistoryEvent",
    "HistoryReader",
    "HistoryWriter",
    "ItemCount",
    "Progress",
    "Put",
    "PutsMark",
]

#: The types of datasets that histories of items and of actions are made from.
INTERACTIONS: Final = "INTERACTIONS"
ACTION_INTERACTIONS: Final = "ACTION_INTERACTIONS"


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """An event of the log, with the fields that histories need.

    Attributes:
        offset: Its offset in the log.
        dataset_group_arn: The group of its user and item.
        session_id: The session it was sent in; empty for none.
        user_id: The user; empty before log-in.
        item_id: The item; empty for events without one.
        event_type: E.g. `watch`.
        event_id: Equal for repetitions of an event.
        millis: When it happened, in milliseconds since 1970-01-01 UTC.
        value: The event's value; NaN for none.
        impression: Ids of the items that were shown to the user, as the event itself lists them.
        recommendation_id: The recommendation that the event refers to, whose items were shown if the event lists none;
            empty for none.
        dataset_type: INTERACTIONS; ACTION_INTERACTIONS for what was done with an action, which the item's id is then.
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
    impression: tuple[str, ...] = ()
    recommendation_id: str = ""
    dataset_type: str = INTERACTIONS

    @property
    def is_of_item(self) -> bool:
        """Whether it is about an item, and not about an action."""
        return self.dataset_type == INTERACTIONS


@dataclass(frozen=True, slots=True)
class Put:
    """An item, a user or an action that was put whole.

    Attributes:
        offset: Its offset in the log.
        dataset_group_arn: The group.
        dataset_type: ITEMS, USERS or ACTIONS.
        entity_id: Its id.
        properties_json: Its columns as a JSON object by keys as they were sent; None for none.
    """

    offset: int
    dataset_group_arn: str
    dataset_type: str
    entity_id: str
    properties_json: str | None


class PutsMark(NamedTuple):
    """What tells whether there are other puts than before.

    Attributes:
        generation: Another one whenever puts were removed that no snapshot contains.
        offset: That of the newest put.
    """

    generation: int
    offset: int


class Progress(NamedTuple):
    """How far the log has been read.

    Attributes:
        lineage: Of the log.
        offset: That of the last record.
        puts: What tells whether there were puts.
    """

    lineage: Lineage
    offset: int
    puts: PutsMark

    @property
    def position(self) -> Position:
        """The position of the last record."""
        return self.lineage.at(self.offset)


@dataclass(frozen=True, slots=True)
class ItemCount:
    """How often an item was used.

    Attributes:
        event_type: E.g. `watch`.
        item_id: The item.
        count: Number of events of that type with that item.
    """

    event_type: str
    item_id: str
    count: int


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """The counters of a quarter of an hour.

    Attributes:
        bucket: Seconds since 1970, divided by 900.
        last: Position of the last counted event.
        counters: By event type and item; None where nothing changed.
    """

    bucket: int
    last: Position
    counters: tuple[ItemCount, ...] | None


class HistoryReader(Protocol):
    """Reads what the writer of this host has stored."""

    def find(self, dataset_group_arn: str, user_id: str, *, dataset_type: str = INTERACTIONS) -> RecentHistory | None:
        """Return the recent events of a user, or of the session that has this id; None for none."""

    def shown(self, dataset_group_arn: str, item_ids: Sequence[str], *, after: Position) -> list[int]:
        """Return how often each item was shown; the counts are bounded.

        Events that list their impression count after a position, those that refer to a recommendation always: no
        training counts the latter.
        """

    def log_impressions(self, recommendation_id: str, dataset_group_arn: str, item_ids: Sequence[str]) -> None:
        """Store which items a recommendation shows, for events that will refer to it."""

    def progress(self) -> Progress:
        """Return how far the log has been read: what is looked up later is of then at least."""

    def puts_mark(self) -> PutsMark:
        """Return what changes with each put; costs one look-up."""

    def puts(self, dataset_group_arn: str, dataset_type: str, *, after: int, limit: int) -> list[Put]:
        """Return the next puts after an offset, in the order of the log, the last of each id only; any thread may."""

    def find_put(self, dataset_group_arn: str, dataset_type: str, entity_id: str) -> Put | None:
        """Return the last put of an id that is kept; None for none."""

    def deletions(self, dataset_group_arn: str) -> list[tuple[int, str]]:
        """Return the deletions of users that no snapshot may contain yet; any thread may.

        Returns:
            Of each the last offset that it is about, and its folder in the ledger.
        """

    def lineage(self) -> Lineage:
        """Return the epochs of the log that all of this is from."""

    def counts(
        self, dataset_group_arn: str, *, first_bucket: int, read_positions: Mapping[int, Position]
    ) -> list[BucketCounts]:
        """Return how often all users together used each item, by quarter of an hour; one other thread may call this.

        Args:
            dataset_group_arn: The group of the items.
            first_bucket: The oldest bucket to return.
            read_positions: `BucketCounts.last` of each bucket that was read before; unchanged ones are not read again.
        """

    def close(self) -> None:
        """Close the files."""


class HistoryWriter(Protocol):
    """Stores the events of the log; there is one writer per host."""

    def next_offset(self) -> int:
        """Return the offset to continue from; 1 at first."""

    def lineage(self) -> Lineage:
        """Return the epochs of the log that the stored events are from."""

    def append(
        self,
        events: Sequence[HistoryEvent],
        *,
        next_offset: int,
        puts: Sequence[Put] = (),
        lineage: Lineage | None = None,
    ) -> None:
        """Store events, puts and the next offset in one transaction; what is before the present offset is skipped.

        An event with a session and a user moves the session's earlier events to the user.

        Args:
            events: In the order of the log.
            puts: In the order of the log.
            next_offset: The offset to continue from.
            lineage: The log's epochs if they have changed; the stored events are on it.

        Raises:
            Unavailable: The disk failed or is full; nothing was stored.
        """

    def forget(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what a dataset had up to an offset, in steps that the caller iterates over."""

    def prune_puts(self, dataset_group_arn: str, dataset_type: str, *, up_to: int) -> Iterator[None]:
        """Remove what was put up to an offset, as the snapshots in force contain it, in steps."""

    def forget_users(self, dataset_group_arn: str, deleted: DeletedUsers) -> Iterator[None]:
        """Remove what deleted users of a group did, and what was put of them, up to the deletion's offset, in steps.

        Counts of items stay.
        """

    def skip(self, next_offset: int) -> None:
        """Remove everything and continue from a later offset: the log no longer has what lies between."""

    def clear(self) -> None:
        """Remove everything, and continue from offset 1."""

    def close(self) -> None:
        """Close the files."""
