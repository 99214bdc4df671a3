"""The durable log of events: the interface and its values; `sqlite` is the implementation for one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from events_service.domain import Event

__all__ = ["Backlog", "Bounds", "EventLog", "LogEntry", "LogTable", "LoggedEvent"]


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
class Bounds:
    """What the log holds: offsets from `first` to `end` - 1."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """A table with events that are not sealed yet.

    Attributes:
        table: Where they go.
        tracking_id: The tracker that took the last of them.
        sealed_offset: All events of the table up to here are sealed.
        last_offset: The last of the table's events.
    """

    table: LogTable
    tracking_id: str
    sealed_offset: int
    last_offset: int


class EventLog(Protocol):
    """Keeps events in the order of their offsets, which begin at 1, rise, and are never used twice.

    Safe to share between threads. One process owns a log.
    """

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Add events, all or none, and return when they are on disk.

        An event whose id the same tracker has given before is not added again.

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

    def read(self, from_offset: int, *, max_events: int) -> list[LoggedEvent]:
        """Return events from an offset on; none when there are none yet.

        Raises:
            OffsetOutOfRange: The offset was removed already, or lies beyond the next one to be given; the metadata
                `earliest_offset` and `next_offset` say what can be asked for.
        """
        ...

    def wait(self, from_offset: int, *, seconds: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Return as soon as an event at or after an offset can be read, at the latest after `seconds`.

        Args:
            from_offset: As for `read`.
            seconds: How long to wait.
            cancelled: Asked at each `wake`; true ends the wait.
        """
        ...

    def wake(self) -> None:
        """Let all who wait look whether they are cancelled."""
        ...

    def release(self) -> None:
        """End all waits, and all later ones at once: the process is about to stop."""
        ...

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        ...

    def backlogs(self) -> list[Backlog]:
        """Return the tables that have unsealed events."""
        ...

    def table_events(self, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
        """Return a table's events after an offset, in the order of offsets."""
        ...

    def mark_sealed(self, location: str, offset: int) -> None:
        """Note that a table has all its events up to an offset, and none after it."""
        ...

    def mark_removed(self, location: str) -> None:
        """Note that a table is gone, so that its events no longer wait to be sealed; a later event takes that back."""
        ...

    def remove_before(self, moment: datetime) -> int:
        """Remove the oldest events, up to the first that came after `moment` or is not sealed.

        Returns:
            How many were removed.
        """
        ...

    def close(self) -> None:
        """Finish what waits to be written and let go of the files."""
        ...
