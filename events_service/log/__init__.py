"""The durable event log: its interface and values; `sqlite` is the implementation for one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from common.positions import Lineage
from common.process.long_poll import ChangeNotifier
from events_service.domain import Event

__all__ = [
    "Bounds",
    "Divergence",
    "EventLog",
    "LogEntry",
    "LogPage",
    "LogRemoval",
    "LogTable",
    "LoggedEvent",
    "TableLag",
]


@dataclass(frozen=True, slots=True)
class LogTable:
    """The interactions table that an event goes to.

    Attributes:
        location: Folder relative to the store's root; never reused for another dataset.
        dataset_group_arn: The group that the table belongs to.
        schema: The Avro schema as JSON text.
    """

    location: str
    dataset_group_arn: str
    schema: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event to be appended."""

    tracking_id: str
    table: LogTable
    event: Event


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in the log, at its offset."""

    offset: int
    tracking_id: str
    dataset_group_arn: str
    event: Event


@dataclass(frozen=True, slots=True)
class LogRemoval:
    """The removal of a table, as an entry of the log.

    Attributes:
        offset: The entry's own offset.
        dataset_group_arn: The group whose interactions were removed.
        up_to_offset: The group's events up to here were in the table; later ones are in another.
    """

    offset: int
    dataset_group_arn: str
    up_to_offset: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Consecutive entries of the log, read in one transaction.

    Attributes:
        events: In the order of offsets; gaps are events that the log no longer keeps.
        removals: In the order of offsets.
        next_offset: The first offset of the next page.
        lineage: The log's epochs.
    """

    events: list[LoggedEvent]
    removals: list[LogRemoval]
    next_offset: int
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which offsets the log holds: `first` to `end` - 1, except those that were removed in between."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """Rows of a table that other logs may have written: all between two offsets.

    Attributes:
        after: Up to this offset the log that wrote last had the same events as this one.
        until: The largest offset of an event in the table, in any log.
    """

    after: int
    until: int


@dataclass(frozen=True, slots=True)
class TableLag:
    """A table with logged events that are not in the table yet.

    Attributes:
        table: The table.
        tracking_id: The tracker that received the last event.
        committed_offset: All of the table's events up to here are in it, by the log's copy of that offset.
        last_offset: The offset of the table's last event.
        divergence: Rows of the table that may be of events which the log holds again; None for none.
    """

    table: LogTable
    tracking_id: str
    committed_offset: int
    last_offset: int
    divergence: Divergence | None = None


class EventLog(Protocol):
    """Keeps events in the order of their offsets, which begin at 1, rise, and are never used twice.

    A log that is restored from a backup uses offsets again that another has used; `lineage` distinguishes the two.
    Safe to share between threads; all calls block. One process owns a log.

    Attributes:
        appended: Notified whenever there are more events, or removals, to read.
    """

    appended: ChangeNotifier

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Append events, all or none, and return when they are on disk.

        An event whose id the same tracker has sent before for the same table is not appended again.

        Args:
            entries: One or more events.
            seconds: How long to wait for the disk.

        Returns:
            The offset of each event; that of the first one for a repeated event.

        Raises:
            LimitExceeded: Too many appends are queued; nothing was appended.
            Unavailable: The disk failed, or was too slow: the events may or may not be kept, so repeat the call.
        """
        ...

    def read(self, from_offset: int, *, max_events: int) -> LogPage:
        """Return a page from an offset on; an empty one when there is nothing yet.

        Raises:
            OffsetOutOfRange: The offset was removed already, or is larger than the next one; the metadata
                `earliest_offset` and `next_offset` say what can be read.
        """
        ...

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        ...

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        ...

    def tables(self) -> list[str]:
        """Return the locations of all tables that the log has events of."""
        ...

    def table_lags(self) -> list[TableLag]:
        """Return the tables that lag behind the log."""
        ...

    def table_lag(self, location: str) -> TableLag | None:
        """Return how far a table lags behind the log; None when it does not."""
        ...

    def table_events(self, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
        """Return a table's events after an offset, in the order of offsets."""
        ...

    def mark_committed(self, location: str, offset: int) -> None:
        """Store that a table has all its events up to an offset, and none of this log's after it."""
        ...

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Store which rows of a table another log wrote, for as long as the retention of events."""
        ...

    def remove_table(self, location: str) -> int:
        """Remove all events of a deleted table, so that nothing of it is left in the log's files.

        Readers get a `LogRemoval` instead. A later event for the table begins it anew.

        Returns:
            How many events were removed.
        """
        ...

    def remove_old(self, retention: timedelta) -> int:
        """Remove committed events that are older than `retention`; a table that lags does not delay the others.

        Returns:
            How many were removed.
        """
        ...

    def close(self) -> None:
        """Write what is queued and close the files."""
        ...
