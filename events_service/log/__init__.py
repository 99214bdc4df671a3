"""The durable log of events: the interface and its values; `sqlite` is the implementation for one machine."""

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
        location: Folder relative to the store's root; never given to another dataset.
        dataset_group_arn: Whose table it is.
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
    """The end of a table.

    Attributes:
        offset: Its own place in the log.
        dataset_group_arn: Whose interactions are gone.
        up_to_offset: The group's events up to here were in the table; later ones are of another.
    """

    offset: int
    dataset_group_arn: str
    up_to_offset: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """A stretch of the log, as it was at one moment.

    Attributes:
        events: In the order of offsets; some may be missing between them that the log no longer keeps.
        removals: Likewise.
        next_offset: Where the next page begins.
        lineage: The log's.
    """

    events: list[LoggedEvent]
    removals: list[LogRemoval]
    next_offset: int
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the log holds: offsets from `first` to `end` - 1, as far as they were not removed in between."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """Rows of a table that other logs may have put there: all between two offsets.

    Attributes:
        after: Up to here the log that wrote last had the same events as this one.
        until: The largest offset that any log gave to an event in the table.
    """

    after: int
    until: int


@dataclass(frozen=True, slots=True)
class TableLag:
    """A table with events that are not sealed yet.

    Attributes:
        table: Where they go.
        tracking_id: The tracker that took the last of them.
        sealed_offset: All events of the table up to here are sealed, by the log's own note.
        last_offset: The last of the table's events.
        divergence: Rows that may be of the same events again; None for none.
    """

    table: LogTable
    tracking_id: str
    sealed_offset: int
    last_offset: int
    divergence: Divergence | None = None


class EventLog(Protocol):
    """Keeps events in the order of their offsets, which begin at 1, rise, and are never used twice.

    A log that is restored from a backup gives offsets again that another gave before; `lineage` tells the two apart.
    Safe to share between threads; all calls block. One process owns a log.

    Attributes:
        appended: Notified whenever there are more events, or removals, to read.
    """

    appended: ChangeNotifier

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Add events, all or none, and return when they are on disk.

        An event whose id the same tracker has given before for the same table is not added again.

        Args:
            entries: At least one.
            seconds: How long to wait for the disk.

        Returns:
            The offset of each event; that of the first one for a repeated event.

        Raises:
            LimitExceeded: Too many appends wait already; nothing was added.
            Unavailable: The disk refused, or was too slow: the events may or may not be kept, so repeat the call.
        """
        ...

    def read(self, from_offset: int, *, max_events: int) -> LogPage:
        """Return a page from an offset on; an empty one when there is nothing yet.

        Raises:
            OffsetOutOfRange: The offset was removed already, or lies beyond the next one to be given; the metadata
                `earliest_offset` and `next_offset` say what can be asked for.
        """
        ...

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        ...

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        ...

    def tables(self) -> list[str]:
        """Return the locations of all tables that the log has something of."""
        ...

    def backlogs(self) -> list[TableLag]:
        """Return the tables that have unsealed events."""
        ...

    def backlog(self, location: str) -> TableLag | None:
        """Return what a table has unsealed; None for nothing."""
        ...

    def table_events(self, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
        """Return a table's events after an offset, in the order of offsets."""
        ...

    def mark_sealed(self, location: str, offset: int) -> None:
        """Note that a table has all its events up to an offset, and none of this log's after it."""
        ...

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Note rows of another log in a table, for as long as the retention of events."""
        ...

    def remove_table(self, location: str) -> int:
        """Remove all that the log has of a table which is gone, so that nothing of it is left in the log's files.

        Readers find a `LogRemoval` in its place. A later event for the table begins it anew.

        Returns:
            How many events were removed.
        """
        ...

    def remove_old(self, retention: timedelta) -> int:
        """Remove sealed events that are older than `retention`; those of a table that is not sealed hold up no other.

        Returns:
            How many were removed.
        """
        ...

    def close(self) -> None:
        """Finish what waits to be written and let go of the files."""
        ...
