"""The event log in one SQLite file with a write-ahead log: acknowledged means synced.

One thread writes, in groups (`_writer`); readers have connections of their own and never wait for it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from common.clock import Clock
from common.errors import CorruptArtifact, OffsetOutOfRange, Unavailable
from events_service.log import Backlog, Bounds, LogEntry, LoggedEvent, LogTable
from events_service.log._lock import FolderLock
from events_service.log._schema import (
    EVENT_COLUMNS,
    INSERT_EVENT,
    event_values,
    logged_event,
    open_database,
    prepare,
)
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
        max_waiting: Appends that may wait for the disk; more are refused.
        checkpoint_pages: Pages of 4096 bytes at which the write-ahead log is copied into the database.

    Raises:
        ResourceInUse: Another process owns the folder.
        CorruptArtifact: What is there is no event log of a known version.
    """

    def __init__(self, folder: Path, *, clock: Clock, max_waiting: int = 4096, checkpoint_pages: int = 1000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        self._path = folder / DATABASE
        self._clock = clock
        self._committed = threading.Condition()
        self._released = False
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        try:
            connection = open_database(self._path)
            try:
                prepare(connection, checkpoint_pages=checkpoint_pages)
            except CorruptArtifact:
                connection.close()
                raise
            _sync_folders(folder)
        except BaseException:
            self._lock.release()
            raise
        self._end = _end(connection)
        self._writer = GroupWriter(connection, max_waiting=max_waiting, max_group=_MAX_GROUP, committed=self._on_commit)

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Add events and return when they are on disk; see `EventLog`."""
        now = _millis(self._clock.now())
        return _result(self._writer.submit(lambda connection: _append(connection, entries, now)), seconds)

    def read(self, from_offset: int, *, max_events: int) -> list[LoggedEvent]:
        """Return events from an offset on; see `EventLog`."""
        with self._reader() as connection:
            # One transaction, so that a removal in between cannot look like a gap.
            connection.execute("BEGIN")
            try:
                first, end = _first(connection), _end(connection)
                if not first <= from_offset <= end:
                    raise OffsetOutOfRange(
                        f"`fromOffset`: got {from_offset}, want {first} to {end}, which is what the log keeps",
                        metadata={"earliest_offset": str(first), "next_offset": str(end)},
                    )
                return _events(connection, 'e."offset" >= ?', (from_offset,), max_events)
            finally:
                connection.execute("COMMIT")

    def wait(self, from_offset: int, *, seconds: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Return when there is an event to read; see `EventLog`."""
        with self._committed:
            self._committed.wait_for(
                lambda: self._end > from_offset or self._released or cancelled(), timeout=max(seconds, 0.0)
            )

    def wake(self) -> None:
        """Let all who wait look whether they are cancelled."""
        with self._committed:
            self._committed.notify_all()

    def release(self) -> None:
        """End all waits, and all later ones at once."""
        with self._committed:
            self._released = True
            self._committed.notify_all()

    def bounds(self) -> Bounds:
        """Return which offsets can be read."""
        with self._reader() as connection:
            return Bounds(_first(connection), _end(connection))

    def backlogs(self) -> list[Backlog]:
        """Return the tables that have unsealed events."""
        with self._reader() as connection:
            rows = connection.execute(
                'SELECT t.location, t.dataset_group_arn, t.schema, e.tracking_id, t.sealed_offset, e."offset" '
                'FROM tables t JOIN events e ON e."offset" = (SELECT max("offset") FROM events WHERE table_id = t.id) '
                'WHERE NOT t.removed AND e."offset" > t.sealed_offset ORDER BY t.id'
            ).fetchall()
        return [Backlog(LogTable(*row[:3]), *row[3:]) for row in rows]

    def table_events(self, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
        """Return a table's events after an offset."""
        with self._reader() as connection:
            return _events(
                connection,
                'e.table_id = (SELECT id FROM tables WHERE location = ?) AND e."offset" > ?',
                (location, after),
                max_events,
            )

    def mark_sealed(self, location: str, offset: int) -> None:
        """Note that a table has all its events up to an offset, and none after it."""
        self._note("UPDATE tables SET sealed_offset = ?, removed = 0 WHERE location = ?", offset, location)

    def mark_removed(self, location: str) -> None:
        """Note that a table is gone."""
        self._note("UPDATE tables SET removed = 1 WHERE location = ?", location)

    def remove_before(self, moment: datetime) -> int:
        """Remove the oldest events, up to the first that came after `moment` or is not sealed."""
        with self._reader() as connection:
            first, end = _removable(connection, _millis(moment))
        removed = 0
        for start in range(first, end, _REMOVAL_STEP):
            stop = min(start + _REMOVAL_STEP, end)
            removed += _result(self._writer.submit(partial(_remove, end=stop)))
        return removed

    def close(self) -> None:
        """Finish what waits to be written and let go of the files."""
        self.release()
        with self._idle_lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writer.close()
        self._lock.release()

    def _note(self, statement: str, *values: object) -> None:
        _result(self._writer.submit(lambda connection: connection.execute(statement, values).rowcount))

    def _on_commit(self, connection: sqlite3.Connection) -> None:
        end = _end(connection)
        with self._committed:
            self._end = end
            self._committed.notify_all()

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


def _append(connection: sqlite3.Connection, entries: Sequence[LogEntry], now: int) -> tuple[int, ...]:
    ids = {table: _table_id(connection, table) for table in {entry.table for entry in entries}}
    offsets = []
    for entry in entries:
        # Looked for first: an insertion that meets its twin would use up an offset, and readers would wait for a gap.
        found = connection.execute(
            'SELECT "offset" FROM events WHERE tracking_id = ? AND event_id = ?',
            (entry.tracking_id, entry.event.event_id),
        ).fetchall()
        if not found:
            values = event_values(entry, table_id=ids[entry.table], appended_at_millis=now)
            found = connection.execute(INSERT_EVENT, values).fetchall()
        offsets.append(int(found[0][0]))
    return tuple(offsets)


def _table_id(connection: sqlite3.Connection, table: LogTable) -> int:
    found = connection.execute("SELECT id, removed FROM tables WHERE location = ?", (table.location,)).fetchone()
    if found is None:
        insert = "INSERT INTO tables (location, dataset_group_arn, schema) VALUES (?, ?, ?) RETURNING id"
        values = (table.location, table.dataset_group_arn, table.schema)
        return int(connection.execute(insert, values).fetchall()[0][0])
    identifier, removed = found
    if removed:
        connection.execute("UPDATE tables SET removed = 0 WHERE id = ?", (identifier,))
    return int(identifier)


def _events(connection: sqlite3.Connection, where: str, values: tuple[Any, ...], limit: int) -> list[LoggedEvent]:
    statement = (
        f"SELECT {EVENT_COLUMNS} FROM events e JOIN tables t ON t.id = e.table_id "  # noqa: S608 - constants only
        f'WHERE {where} ORDER BY e."offset" LIMIT ?'
    )
    return [logged_event(row) for row in connection.execute(statement, (*values, limit))]


def _first(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT first_offset FROM state").fetchone()[0])


def _end(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 1 + (int(found[0]) if found else 0)


def _removable(connection: sqlite3.Connection, before_millis: int) -> tuple[int, int]:
    """Return from where to where (exclusive) offsets can go."""
    first, end = _first(connection), _end(connection)
    young = connection.execute(
        'SELECT "offset" FROM events WHERE appended_at_millis >= ? ORDER BY "offset" LIMIT 1', (before_millis,)
    ).fetchone()
    unsealed = connection.execute(
        'SELECT min((SELECT min(e."offset") FROM events e WHERE e.table_id = t.id AND e."offset" > t.sealed_offset)) '
        "FROM tables t WHERE NOT t.removed"
    ).fetchone()
    return first, min([end, *(int(row[0]) for row in (young, unsealed) if row and row[0] is not None)])


def _remove(connection: sqlite3.Connection, *, end: int) -> int:
    removed = connection.execute('DELETE FROM events WHERE "offset" < ?', (end,)).rowcount
    connection.execute("UPDATE state SET first_offset = ?", (end,))
    return removed


def _result(future: Future[T], seconds: float = _PATIENCE_SECONDS) -> T:
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise Unavailable(
            f"event log: got no answer from the disk within {seconds:g} s; events may or may not be kept, so repeat "
            "the call: what is kept already is not added again"
        ) from error


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _sync_folders(folder: Path) -> None:
    # A file survives a power cut only when the folder that names it was synced too.
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
