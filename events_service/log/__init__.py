"""The durable log of records: its interface and values; `sqlite` is for one process, `jetstream` for several.

The log does not look into what it keeps: a record is a kind, a dataset and a payload (`events_service.records`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from common.positions import Lineage, Position
from common.process.long_poll import ChangeNotifier

__all__ = [
    "Bounds",
    "Divergence",
    "EventLog",
    "LogEntry",
    "LogPage",
    "LogRemoval",
    "LogTable",
    "LogUsage",
    "LoggedRecord",
    "RecordKind",
    "TableLag",
    "UserRemoval",
    "is_wider",
]


class RecordKind(IntEnum):
    """What a record is; the numbers are kept in logs."""

    EVENT = 1
    ITEM = 2
    USER = 3
    ACTION = 4
    ACTION_INTERACTION = 5


@dataclass(frozen=True, slots=True)
class LogTable:
    """The dataset's table that a record goes to.

    Attributes:
        location: Folder relative to the store's root; never reused for another dataset.
        dataset_group_arn: The group that the dataset belongs to.
        schema: The Avro schema as JSON text.
        dataset_type: E.g. `INTERACTIONS`.
    """

    location: str
    dataset_group_arn: str
    schema: str
    dataset_type: str = "INTERACTIONS"

    def widened(self, schema: str) -> LogTable:
        """Return the table with another schema of its dataset, unless that is an earlier one."""
        return replace(self, schema=schema) if is_wider(schema, self.schema) else self


def is_wider(schema: str, before: str) -> bool:
    """Return whether a table's schema takes the place of the one before.

    A dataset's schema gets more columns, never fewer: one with fewer is of a call that began before.
    """
    return schema != before and _width(schema) >= _width(before)


def _width(schema: str) -> int:
    return len(json.loads(schema)["fields"])


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A record to be appended.

    Attributes:
        table: Where it goes to.
        kind: What it is.
        payload: The content, see `events_service.records`.
        tracking_id: The tracker that took it; empty for none.
        record_id: Of two records with one id, of one tracker and one table, the second is not appended; None for
            records that may repeat.
    """

    table: LogTable
    kind: RecordKind
    payload: bytes
    tracking_id: str = ""
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record in the log, at its offset; the other attributes as in `LogEntry`."""

    offset: int
    kind: RecordKind
    payload: bytes
    dataset_group_arn: str
    tracking_id: str = ""


@dataclass(frozen=True, slots=True)
class LogRemoval:
    """The removal of a table, as an entry of the log.

    Attributes:
        offset: The entry's own offset.
        dataset_group_arn: The group whose dataset was removed.
        dataset_type: The type of the dataset, of which a group has one at a time.
        up_to_offset: The dataset's records up to here were in the table; later ones are in another.
    """

    offset: int
    dataset_group_arn: str
    dataset_type: str
    up_to_offset: int


@dataclass(frozen=True, slots=True)
class UserRemoval:
    """The deletion of all data of some users, as an entry of the log.

    Attributes:
        offset: The entry's own offset.
        dataset_group_arn: The group whose users they are.
        location: Folder of the entry in the deletion ledger, which says who they are (`common.deletions`).
        up_to_offset: What they did up to here is gone; what came later stays.
    """

    offset: int
    dataset_group_arn: str
    location: str
    up_to_offset: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Consecutive entries of the log, read in one transaction.

    Attributes:
        records: In the order of offsets; gaps are records that the log no longer keeps.
        removals: In the order of offsets.
        next_offset: The first offset of the next page.
        lineage: The log's epochs.
        user_removals: In the order of offsets.
    """

    records: list[LoggedRecord]
    removals: list[LogRemoval]
    next_offset: int
    lineage: Lineage
    user_removals: list[UserRemoval] = field(default_factory=list)


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
    """A table with records that a consumer of the log has not consumed yet.

    Attributes:
        table: The table.
        committed_offset: All of the table's records up to here are consumed, by the log's copy of that offset.
        last_offset: The offset of the table's last record.
        divergence: Rows of the table that may be of records which the log holds again; None for none.
        missed_offset: Records up to here were removed for their age before the consumer had them; 0 for none.
    """

    table: LogTable
    committed_offset: int
    last_offset: int
    divergence: Divergence | None = None
    missed_offset: int = 0


@dataclass(frozen=True, slots=True)
class LogUsage:
    """What the log takes on this machine.

    Attributes:
        bytes: On the disk.
        files: How many files.
        records: How many records at most: those that were removed in between count.
        oldest: When the oldest record was appended, by the log's clock; None without records.
    """

    bytes: int
    files: int
    records: int
    oldest: datetime | None


class EventLog(Protocol):
    """Keeps records in the order of their offsets, which begin at 1, rise, and are never used twice.

    Each consumer has a cursor of its own for each table, so that one that is stuck, or one table, delays no other.
    A log that is restored from a backup uses offsets again that another has used, until `begin_after` ends that;
    `lineage` distinguishes the two.
    Safe to share between threads; all calls block.

    Attributes:
        appended: Notified whenever there are more records, or removals, to read.
    """

    appended: ChangeNotifier

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Append records, all or none, and return when they are stored.

        A record whose id the same tracker has sent before for the same table is not appended again.

        Args:
            entries: One or more records, of one table.
            seconds: How long to wait for that.

        Returns:
            The offset of each record; that of the first one for a repeated record.

        Raises:
            LimitExceeded: Too many appends are queued, or too large ones; nothing was appended.
            StorageFull: The disk is full; nothing was appended.
            Unavailable: The disk or the server failed, or was too slow: the records may or may not be kept, so repeat
                the call.
        """
        ...

    def submit(self, entries: Sequence[LogEntry]) -> Future[tuple[int, ...]]:
        """Begin to append records, as `append` does, without waiting for it.

        Args:
            entries: As for `append`.

        Returns:
            What `append` returns, or raises. A future that is cancelled before its records are being written leaves
            them out.

        Raises:
            LimitExceeded: Too many appends are queued, or too large ones; nothing was appended.
            Unavailable: The log is closed.
        """
        ...

    def read(self, from_offset: int, *, max_records: int) -> LogPage:
        """Return a page from an offset on; an empty one when there is nothing yet, a shorter one of long records.

        Raises:
            OffsetOutOfRange: The offset was removed already, or is larger than the next one; the metadata
                `earliest_offset` and `next_offset` say what can be read.
        """
        ...

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        ...

    def catch_up(self) -> None:
        """Return when this process reads all that any process has stored before the call.

        Raises:
            Unavailable: The server cannot be reached.
        """
        ...

    def consumes(self) -> bool:
        """Return whether this process, of those that share the log, is the one to consume it now.

        Another one may take over while a machine stands still, so that for a moment two may get true.
        """
        ...

    def usage(self) -> LogUsage:
        """Return what the log takes on this machine; in JetStream, its replica here and not the stream."""
        ...

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        ...

    def position(self, offset: int) -> Position:
        """Return the position of a record that was appended."""
        ...

    def tables(self) -> list[str]:
        """Return the locations of all tables that the log has records of."""
        ...

    def lags(self, consumer: str) -> list[TableLag]:
        """Return the tables with records that a consumer has not consumed yet."""
        ...

    def lag(self, consumer: str, location: str) -> TableLag | None:
        """Return how far a consumer lags behind with a table; None when it does not."""
        ...

    def table_records(self, location: str, *, after: int, max_records: int) -> list[LoggedRecord]:
        """Return a table's records after an offset, in the order of offsets; fewer of long records."""
        ...

    def mark_consumed(self, consumer: str, location: str, offset: int) -> None:
        """Store that a consumer has all of a table's records up to an offset, and none of this log's after it."""
        ...

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Store which rows of a table another log wrote, for as long as the retention of records."""
        ...

    def begin_after(self, offset: int) -> None:
        """Give what is appended from now on offsets above this one; those in between are left out."""
        ...

    def remove_table(self, location: str) -> int:
        """Remove all records of a deleted table, so that nothing of it is left in the log's files.

        Readers get a `LogRemoval` instead. A later record for the table begins it anew.

        Returns:
            How many records were removed.
        """
        ...

    def remove_records(self, location: str, offsets: Sequence[int]) -> int:
        """Remove some of a table's records, so that nothing of them is left in the log's files.

        Args:
            location: The table's.
            offsets: At most 20,000; those that the table does not have are passed over.

        Returns:
            How many records were removed.
        """
        ...

    def append_user_removal(self, dataset_group_arn: str, *, location: str, up_to_offset: int) -> int:
        """Append a `UserRemoval` for readers; return its offset, that of the first one for a repeated location."""
        ...

    def remove_old(self, retention: timedelta, *, kept_for: Sequence[str]) -> int:
        """Remove records that are older than `retention`; a table that lags does not delay the others.

        Args:
            retention: Age at which records are removed.
            kept_for: Consumers that must not miss a record: what one of them has not consumed stays. Others find what
                they missed in `TableLag.missed_offset`.

        Returns:
            How many were removed.
        """
        ...

    def close(self) -> None:
        """Write what is queued and close the files."""
        ...
