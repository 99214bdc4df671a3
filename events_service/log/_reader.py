"""Reads the log from a SQLite file: many threads, each call in a transaction of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from common.disk_usage import disk_usage
from common.errors import OffsetOutOfRange, Unavailable
from common.positions import Lineage, Position
from events_service.log import Bounds, LoggedRecord, LogPage, LogUsage, TableLag
from events_service.log import _statements as statements
from events_service.log._disk import end_if_unsynced
from events_service.log._schema import open_database

__all__ = ["LogReader"]


class LogReader:
    """The methods of `EventLog` that change nothing.

    Args:
        path: The database file; it exists before the first call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False

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

    def usage(self) -> LogUsage:
        """Return what the log takes on this machine; see `EventLog`."""
        with self._snapshot() as connection:
            records, oldest_millis = statements.extent(connection)
        parts = [disk_usage(self._path.with_name(f"{self._path.name}{suffix}")) for suffix in ("", "-wal", "-shm")]
        return LogUsage(
            sum(part.bytes for part in parts),
            sum(part.files for part in parts),
            records,
            None if oldest_millis is None else datetime.fromtimestamp(oldest_millis / 1000, UTC),
        )

    def lineage(self) -> Lineage:
        """Return the epochs of the log."""
        with self._snapshot() as connection:
            return statements.lineage(connection)

    def position(self, offset: int) -> Position:
        """Return the position of a record that was appended."""
        return self.lineage().at(offset)

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

    def _close_reader(self) -> bool:
        """Close the connections that are idle; those in use are when they are given back.

        Returns:
            Whether this was the first call.
        """
        with self._idle_lock:
            if self._closed:
                return False
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        return True

    def _wal_truncated(self) -> bool:
        """Truncate the write-ahead log, which has pages as they were before a removal; return whether it was done.

        While readers have snapshots from before, it cannot be truncated; the next removal tries again.
        """
        with self._reader() as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

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
            end_if_unsynced(error)
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
