"""The event log in one SQLite file with a write-ahead log: acknowledged means synced.

One thread writes, in groups (`_writer`); readers have connections of their own and never wait for it. Statements are in
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
from events_service.log import Bounds, Divergence, LogEntry, LoggedEvent, LogPage, TableLag
from events_service.log import _statements as statements
from events_service.log._clock import LogClock
from events_service.log._schema import open_database, prepare
from events_service.log._writer import GroupWriter

__all__ = ["DATABASE", "SqliteEventLog"]

T = TypeVar("T")
DATABASE: Final = "events.db"
_MAX_GROUP: Final = 1024
#: Removals are cut into pieces, so that appends in between wait for milliseconds only.
_REMOVAL_STEP: Final = 5000
#: For the log's own bookkeeping, which no caller waits for.
_PATIENCE_SECONDS: Final = 60.0


class SqliteEventLog:
    """The log in a folder, which it owns while it is open; see `EventLog`.

    Args:
        folder: Made when it does not exist.
        clock: Source of the present time.
        monotonic: Returns seconds on a clock that nobody sets.
        max_waiting: Appends that may wait for the disk; more are refused.
        checkpoint_pages: Pages of 4096 bytes at which the write-ahead log is copied into the database.

    Raises:
        ResourceInUse: Another process owns the folder.
        CorruptArtifact: What is there is no event log of a known version.
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
        # Begun by the first write, so that starts without any leave no trace.
        self._epoch = secrets.randbelow(2**63 - 1) + 1
        self.appended = ChangeNotifier()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        self._unshed = False
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
        self._writer = GroupWriter(connection, max_waiting=max_waiting, max_group=_MAX_GROUP, committed=self._on_commit)

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Add events and return when they are on disk; see `EventLog`."""
        now = self._clock.now_millis()
        write = partial(statements.append, entries=entries, epoch=self._epoch, now_millis=now)
        return _result(self._writer.submit(write), seconds)

    def read(self, from_offset: int, *, max_events: int) -> LogPage:
        """Return a page from an offset on; see `EventLog`."""
        # One look, so that a removal in between cannot look like a gap.
        with self._look() as connection:
            bounds = statements.bounds(connection)
            if not bounds.first <= from_offset <= bounds.end:
                raise OffsetOutOfRange(
                    f"`fromOffset`: got {from_offset}, want {bounds.first} to {bounds.end}, which the log keeps",
                    metadata={"earliest_offset": str(bounds.first), "next_offset": str(bounds.end)},
                )
            return statements.page(connection, from_offset, max_events=max_events)

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        with self._look() as connection:
            return statements.bounds(connection)

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        with self._look() as connection:
            return statements.lineage(connection)

    def tables(self) -> list[str]:
        """Return the locations of all tables that the log has something of."""
        with self._look() as connection:
            return [location for (location,) in connection.execute("SELECT location FROM tables ORDER BY id")]

    def backlogs(self) -> list[TableLag]:
        """Return the tables that have unsealed events."""
        with self._look() as connection:
            return statements.backlogs(connection)

    def backlog(self, location: str) -> TableLag | None:
        """Return what a table has unsealed."""
        with self._look() as connection:
            return next(iter(statements.backlogs(connection, location=location)), None)

    def table_events(self, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
        """Return a table's events after an offset."""
        with self._look() as connection:
            return statements.table_events(connection, location, after=after, max_events=max_events)

    def mark_sealed(self, location: str, offset: int) -> None:
        """Note that a table has all its events up to an offset; see `EventLog`."""
        self._note("UPDATE tables SET sealed_offset = ? WHERE location = ?", offset, location)

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Note rows of another log in a table; see `EventLog`."""
        now = self._clock.now_millis()
        _result(self._writer.submit(partial(statements.diverge, location=location, found=divergence, now_millis=now)))

    def remove_table(self, location: str) -> int:
        """Remove all that the log has of a table which is gone; see `EventLog`."""
        removed = self._in_steps(partial(statements.remove_of_table, location=location, limit=_REMOVAL_STEP))
        end = partial(statements.end_table, location=location, epoch=self._epoch)
        self._unshed |= _result(self._writer.submit(end)) or removed > 0
        self._shed()
        return removed

    def remove_old(self, retention: timedelta) -> int:
        """Remove sealed events that are older than `retention`; see `EventLog`."""
        now = self._clock.now_millis()
        before = now - int(retention.total_seconds() * 1000)
        removed = self._in_steps(partial(statements.remove_sealed, before_millis=before, limit=_REMOVAL_STEP))
        _result(self._writer.submit(partial(statements.tidy, before_millis=before, now_millis=now)))
        self._shed()
        return removed

    def close(self) -> None:
        """Finish what waits to be written and let go of the files."""
        with self._idle_lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writer.close()
        self._lock.close()

    def _note(self, statement: str, *values: object) -> None:
        _result(self._writer.submit(lambda connection: connection.execute(statement, values).rowcount))

    def _in_steps(self, remove: Callable[[sqlite3.Connection], int]) -> int:
        """Remove until nothing is left to be removed, a piece at a time."""
        total = 0
        while removed := _result(self._writer.submit(remove)):
            total += removed
        return total

    def _shed(self) -> None:
        """Let the write-ahead log begin anew after a removal, for it still has the pages as they were before.

        While others read what was there before it cannot; the next removal tries again.
        """
        if self._unshed:
            with self._reader() as connection:
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._unshed = bool(busy)

    def _on_commit(self, connection: sqlite3.Connection) -> None:
        end = statements.end(connection)
        if end > self._end:
            self._end = end
            self.appended.notify()

    @contextmanager
    def _look(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the log."""
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


def _result(future: Future[T], seconds: float = _PATIENCE_SECONDS) -> T:
    try:
        return future.result(seconds)
    except sqlite3.Error as error:
        raise Unavailable(f"event log: cannot be written: {error}") from error
    except TimeoutError as error:
        raise Unavailable(
            f"event log: got no answer from the disk within {seconds:g} s; events may or may not be kept, so repeat "
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
    # SQLite gives new ones the rights of the database.
    for beside in database.parent.glob(f"{database.name}-*"):
        private_file(beside)


def _sync_folders(folder: Path) -> None:
    # A file survives a power cut only when the folder that names it was synced too.
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
