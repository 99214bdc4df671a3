"""Group commit: one thread writes to the database, all that is queued in one transaction with one sync.

While the disk syncs one group the next one is queued, so that the number of syncs does not grow with the number of
callers. Within a group each write has its own savepoint: one that fails does not fail the others. Writes of one kind
that follow each other are done together; only when that fails each is tried alone.

A sync that fails ends the process at once: the system may have dropped what it could not write, and lets the next sync
succeed without it. The next process begins with what the disk has (`_disk.sync_and_drop_cache`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from common.errors import StorageFull, Unavailable
from common.logs import get_logger
from common.telemetry import NO_FIGURES, Figures
from events_service.figures import COMMIT_SECONDS, COMMITS, WAITING_BYTES, WRITES
from events_service.log._disk import end_if_unsynced, has_frames, is_full
from events_service.log._limits import MAX_GROUP_BYTES, require_room

__all__ = ["GroupWriter"]

_log = get_logger(__name__)
#: SQLite's errors that fail the whole group, with the names under which they are logged.
_DISK_ERRORS: Final = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_IOERR: "disk_failed",
    sqlite3.SQLITE_READONLY: "disk_read_only",
}
T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class _Write(Generic[T]):
    run: Callable[[sqlite3.Connection, Sequence[Any]], Sequence[T]]
    part: Any
    size: int
    future: Future[T]


class GroupWriter:
    """Runs writes on one connection, in the order of `submit`.

    Args:
        connection: In autocommit mode; used by the writer's thread only, from now on.
        path: The database's file.
        max_waiting: Writes that may be queued; more are rejected.
        max_group: Writes in one transaction, which may be fewer of large ones.
        checkpoint_pages: Size of the write-ahead log at which it is copied into the database.
        on_commit: Called after each commit, before the futures of `submit` are done.
        figures: Count the commits and the writes.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        max_waiting: int,
        max_group: int,
        checkpoint_pages: int,
        on_commit: Callable[[sqlite3.Connection], None],
        figures: Figures = NO_FIGURES,
    ) -> None:
        self._commits, self._commit_seconds = figures.counter(COMMITS), figures.histogram(COMMIT_SECONDS)
        self._written, self._lost = figures.counter(WRITES, "written"), figures.counter(WRITES, "failed")
        self._shown_waiting = figures.gauge(WAITING_BYTES)
        self._shown_waiting.set(0.0)
        self._connection = connection
        self._wal = path.with_name(f"{path.name}-wal")
        self._checkpoint_pages = checkpoint_pages
        self._max_waiting = max_waiting
        self._max_group = max_group
        self._on_commit = on_commit
        self._queue: deque[_Write[Any]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._serve, name="event-log-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a write.

        Args:
            run: Runs inside the transaction.

        Returns:
            The result of `run`, once the transaction is synced.

        Raises:
            LimitExceeded: Too many writes are queued, or too large ones.
            Unavailable: The log is closed. The future raises it for errors of the disk and of SQLite.
        """
        return self.submit_part(lambda connection, _: [run(connection)], None)

    def submit_part(
        self, run: Callable[[sqlite3.Connection, Sequence[P]], Sequence[T]], part: P, *, size: int = 0
    ) -> Future[T]:
        """Queue a write that is done together with others of its kind, which stand beside it in the queue.

        Args:
            run: Runs inside the transaction with the parts of several writes; returns the result of each.
            part: That of this write.
            size: Bytes that it takes in memory.

        Returns:
            Its result, once the transaction is synced; errors as those of `submit`. A write whose future is cancelled
            before its group begins is left out.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("event log: it is being closed, want another process or a later attempt")
            require_room(
                size=size,
                n_waiting=len(self._queue),
                waiting_bytes=self._waiting_bytes,
                max_waiting=self._max_waiting,
                place="disk",
            )
            self._waiting_bytes += size
            self._queue.append(_Write(run, part, size, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Write what is queued, then stop the thread and close the connection."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while group := self._gather():
            if writes := [write for write in group if write.future.set_running_or_notify_cancel()]:
                self._write(writes)
                self._checkpoint()
        self._connection.close()

    def _gather(self) -> list[_Write[Any]]:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            group: list[_Write[Any]] = []
            size = 0
            while self._queue and len(group) < self._max_group and size < MAX_GROUP_BYTES:
                group.append(self._queue.popleft())
                size += group[-1].size
            self._waiting_bytes -= size
            self._shown_waiting.set(self._waiting_bytes)
        return group

    def _write(self, group: list[_Write[Any]]) -> None:
        connection, began = self._connection, time.perf_counter()
        results: list[Any] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for _, alike in groupby(group, attrgetter("run")):
                results += self._attempt(list(alike))
            connection.execute("COMMIT")
            self._on_commit(connection)
        except Exception as error:  # noqa: BLE001 - the callers get it; this thread must go on for the next ones
            end_if_unsynced(error)
            kind = self._failed(error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._lost.add(len(group))
            for write in group:
                # One each: an exception that several threads raise collects the tracebacks of all.
                write.future.set_exception(_unwritten(error, kind))
            return
        self._succeeded()
        self._commits.add()
        self._commit_seconds.observe(time.perf_counter() - began)
        for write, result in zip(group, results, strict=True):
            if isinstance(result, _Failed):
                self._lost.add()
                write.future.set_exception(result.error)
            else:
                self._written.add()
                write.future.set_result(result)

    def _attempt(self, writes: Sequence[_Write[Any]]) -> Sequence[Any]:
        """Do writes of one kind; return the result of each, or why it failed."""
        connection = self._connection
        connection.execute("SAVEPOINT one")
        try:
            results = writes[0].run(connection, [write.part for write in writes])
        except Exception as error:  # the caller of `submit` raises it
            if not connection.in_transaction or _disk_error(error):
                # SQLite itself often rolls everything back, as when the disk is full: the whole group failed.
                raise
            connection.execute("ROLLBACK TO one")
            results = [_Failed(_unwritten(error) if isinstance(error, sqlite3.Error) else error)]
        connection.execute("RELEASE one")
        if len(results) < len(writes):
            return [result for write in writes for result in self._attempt([write])]
        return results

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the database when it is long.

        Not left to SQLite, which does the same and does not say that the database could not be synced.
        """
        try:
            if has_frames(self._wal, self._checkpoint_pages):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            end_if_unsynced(error)
            self._failed(error)
        except OSError as error:  # as when no more files may be open; the write-ahead log is longer for a while
            self._failed(error)

    def _failed(self, error: Exception) -> type[Unavailable]:
        """Log the first failure in a row; return what callers get: nothing is acknowledged until the disk is mended."""
        name = _disk_error(error) or "event_log_unwritable"
        if name == "disk_failed" and is_full(self._wal.parent, size_bytes=_size_bytes(self._wal)):
            name = "disk_full"
        if not self._failing:
            _log.error(name, message=str(error))
        self._failing = True
        return StorageFull if name == "disk_full" else Unavailable

    def _succeeded(self) -> None:
        if self._failing:
            _log.info("event_log_writable")
        self._failing = False


def _unwritten(error: Exception, kind: type[Unavailable] = Unavailable) -> Unavailable:
    """Return the error that a caller gets for one of SQLite."""
    failure = kind(f"event log: cannot be written: {error}")
    failure.__cause__ = error
    return failure


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _disk_error(error: Exception) -> str | None:
    """Return the name under which an error of the disk is logged; None for other errors."""
    # The lowest byte is the kind, the others say more exactly what happened.
    return _DISK_ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception
