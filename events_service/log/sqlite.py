"""The event log in one SQLite file with a write-ahead log: acknowledged means synced.

One thread writes, in groups (`_writer`); readers have connections of their own and never wait for it. The SQL is in
`_statements`.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from common.clock import Clock
from common.errors import CorruptArtifact, OffsetOutOfRange, ResourceInUse, Unavailable
from common.positions import Lineage
from common.private_files import private_file, private_folder
from common.process.file_lock import FileLock, LockTaken
from common.process.long_poll import ChangeNotifier
from events_service.log import Bounds, Divergence, LogEntry, LoggedRecord, LogPage, TableLag
from events_service.log import _statements as statements
from events_service.log._schema import open_database, prepare
from events_service.log._writer import GroupWriter

__all__ = ["DATABASE", "LogClock", "SqliteEventLog"]

T = TypeVar("T")
DATABASE: Final = "events.db"
_MAX_GROUP: Final = 1024
#: Removals are cut into pieces, so that appends in between wait for milliseconds only.
_REMOVAL_STEP: Final = 5000
#: Limit of the log's own bookkeeping, which no caller waits for.
_PATIENCE_SECONDS: Final = 60.0
#: How fast the log's clock may advance, as a multiple of the time that passes.
_MAX_CLOCK_RATE: Final = 2.0


class SqliteEventLog:
    """The log in a folder, which it owns while it is open; see `EventLog`.

    Args:
        folder: Made when it does not exist.
        clock: Source of the present time.
        monotonic: Returns seconds on a clock that nobody sets.
        max_waiting: Appends that may wait for the disk; more are rejected.
        checkpoint_pages: Pages of 4096 bytes at which the write-ahead log is copied into the database.

    Raises:
        ResourceInUse: Another process owns the folder.
        CorruptArtifact: The file is not an event log of a known version.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        max_waiting: int = 4096,
        checkpoint_pages: int = 1000,
    ) -> None:
        self._lock = _lock_folder(private_folder(folder))
        self._path = folder / DATABASE
        # The epoch begins with the first write, so that a start without any leaves no trace.
        self._epoch = secrets.randbelow(2**63 - 1) + 1
        self.appended = ChangeNotifier()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        self._wal_holds_removed = False
        try:
            _make_private(self._path)
            connection = open_database(self._path)
            try:
                prepare(connection, checkpoint_pages=checkpoint_pages)
            except CorruptArtifact:
                connection.close()
                raise
            _sync_folders(folder)
        except BaseException:
            self._lock.close()
            raise
        self._clock = LogClock(clock, monotonic, newest_millis=statements.newest_millis(connection))
        self._end = statements.end(connection)
        self._writer = GroupWriter(connection, max_waiting=max_waiting, max_group=_MAX_GROUP, on_commit=self._on_commit)

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Append records and return when they are on disk; see `EventLog`."""
        now = self._clock.now_millis()
        write = partial(statements.append, entries=entries, epoch=self._epoch, now_millis=now)
        return _result(self._writer.submit(write), seconds)

    def read(self, from_offset: int, *, max_records: int) -> LogPage:
        """Return a page from an offset on; see `EventLog`."""
        # One transaction, so that a removal in between cannot look like a gap.
        with self._snapshot() as connection:
            bounds = statements.bounds(connection)
            if not bounds.first <= from_offset <= bounds.end:
                raise OffsetOutOfRange(
                    f"`fromOffset`: got {from_offset}, want {bounds.first} to {bounds.end}, which the log keeps",
                    metadata={"earliest_offset": str(bounds.first), "next_offset": str(bounds.end)},
                )
            return statements.page(connection, from_offset, max_records=max_records)

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        with self._snapshot() as connection:
            return statements.bounds(connection)

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        with self._snapshot() as connection:
            return statements.lineage(connection)

    def tables(self) -> list[str]:
        """Return the locations of all tables that the log has records of."""
        with self._snapshot() as connection:
            return [location for (location,) in connection.execute("SELECT location FROM tables ORDER BY id")]

    def lags(self, consumer: str) -> list[TableLag]:
        """Return the tables with records that a consumer has not consumed yet."""
        with self._snapshot() as connection:
            return statements.lags(connection, consumer)

    def lag(self, consumer: str, location: str) -> TableLag | None:
        """Return how far a consumer lags behind with a table."""
        with self._snapshot() as connection:
            return next(iter(statements.lags(connection, consumer, location=location)), None)

    def table_records(self, location: str, *, after: int, max_records: int) -> list[LoggedRecord]:
        """Return a table's records after an offset."""
        with self._snapshot() as connection:
            return statements.table_records(connection, location, after=after, max_records=max_records)

    def mark_consumed(self, consumer: str, location: str, offset: int) -> None:
        """Set the cursor of a consumer for a table; see `EventLog`."""
        mark = partial(statements.mark_consumed, consumer=consumer, location=location, offset=offset)
        _result(self._writer.submit(mark))

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Store which rows of a table another log wrote; see `EventLog`."""
        now = self._clock.now_millis()
        mark = partial(statements.mark_diverged, location=location, divergence=divergence, now_millis=now)
        _result(self._writer.submit(mark))

    def remove_table(self, location: str) -> int:
        """Remove all records of a deleted table; see `EventLog`."""
        removed = self._in_steps(partial(statements.remove_table_records, location=location, limit=_REMOVAL_STEP))
        end = partial(statements.end_table, location=location, epoch=self._epoch)
        self._wal_holds_removed |= _result(self._writer.submit(end)) or removed > 0
        self._truncate_wal()
        return removed

    def remove_old(self, retention: timedelta, *, kept_for: Sequence[str]) -> int:
        """Remove records that are older than `retention`; see `EventLog`."""
        now = self._clock.now_millis()
        before = now - int(retention.total_seconds() * 1000)
        remove = partial(
            statements.remove_consumed, kept_for=tuple(kept_for), before_millis=before, limit=_REMOVAL_STEP
        )
        removed = self._in_steps(remove)
        _result(self._writer.submit(partial(statements.tidy, before_millis=before, now_millis=now)))
        self._truncate_wal()
        return removed

    def close(self) -> None:
        """Write what is queued and close the files."""
        with self._idle_lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writer.close()
        self._lock.close()

    def _in_steps(self, remove: Callable[[sqlite3.Connection], int]) -> int:
        """Call `remove`, one transaction each, until it removes nothing; return the sum."""
        total = 0
        while removed := _result(self._writer.submit(remove)):
            total += removed
        return total

    def _truncate_wal(self) -> None:
        """Truncate the write-ahead log after a removal, because it still has the pages as they were before.

        While readers have snapshots from before, it cannot be truncated; the next removal tries again.
        """
        if self._wal_holds_removed:
            with self._reader() as connection:
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._wal_holds_removed = bool(busy)

    def _on_commit(self, connection: sqlite3.Connection) -> None:
        end = statements.end(connection)
        if end > self._end:
            self._end = end
            self.appended.notify()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a read transaction, which sees one state of the log."""
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._idle_lock:
            if self._closed:
                raise Unavailable("event log: it is closed, want another process or a later attempt")
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or open_database(self._path)
            yield connection
        except sqlite3.Error as error:
            raise Unavailable(f"event log: cannot be read: {error}") from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


class LogClock:
    """The time by which records age, in milliseconds since 1970; safe to share between threads.

    It follows the wall clock, but never goes back, and advances at most twice as fast as time passes: a wall clock that
    is set thirty days ahead would otherwise have the whole log removed at once. After a pause of the process it catches
    up at that rate, so a record that is stamped with it is kept for at least half of its retention.

    Args:
        wall: The machine's clock.
        monotonic: Returns seconds on a clock that nobody sets.
        newest_millis: The newest time that this clock is known to have given; None for a new log, which starts with the
            wall clock.
    """

    def __init__(self, wall: Clock, monotonic: Callable[[], float], *, newest_millis: int | None) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._began = monotonic()
        self._base = self._wall_millis() if newest_millis is None else newest_millis

    def now_millis(self) -> int:
        """Return the present time."""
        fastest = self._base + int(_MAX_CLOCK_RATE * 1000 * (self._monotonic() - self._began))
        return max(self._base, min(self._wall_millis(), fastest))

    def _wall_millis(self) -> int:
        return int(self._wall.now().timestamp() * 1000)


def _result(future: Future[T], seconds: float = _PATIENCE_SECONDS) -> T:
    try:
        return future.result(seconds)
    except sqlite3.Error as error:
        raise Unavailable(f"event log: cannot be written: {error}") from error
    except TimeoutError as error:
        raise Unavailable(
            f"event log: got no answer from the disk within {seconds:g} s; records may or may not be kept, so repeat "
            "the call: what is kept already is not added again"
        ) from error


def _lock_folder(folder: Path) -> FileLock:
    try:
        return FileLock(folder / "lock", holder=str(os.getpid()))
    except LockTaken as error:
        raise ResourceInUse(
            f"`data_dir`: got {folder}, whose event log process {error.holder or 'unknown'} holds, want a folder of "
            "its own for each process"
        ) from error


def _make_private(database: Path) -> None:
    private_file(database)
    # SQLite gives new side files the mode of the database.
    for side_file in database.parent.glob(f"{database.name}-*"):
        private_file(side_file)


def _sync_folders(folder: Path) -> None:
    # A file survives a power cut only when the folder that names it was synced too.
    for directory in (folder, folder.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
