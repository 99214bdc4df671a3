"""The one thread that writes to the database: whatever waits is written in one transaction, with one sync.

While the disk syncs one group the next one gathers, so that the number of syncs does not grow with the number of
callers. Within a group each piece of work has its own savepoint: one that fails takes none of its neighbours along.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from common.errors import LimitExceeded, Unavailable
from common.logs import get_logger

__all__ = ["GroupWriter"]

_log = get_logger(__name__)
#: What no neighbour in a group survives either, with the names under which it is logged.
_DISK_TROUBLE: Final = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_IOERR: "disk_failed",
    sqlite3.SQLITE_READONLY: "disk_read_only",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Work(Generic[T]):
    run: Callable[[sqlite3.Connection], T]
    future: Future[T]


class GroupWriter:
    """Runs pieces of work on one connection, in the order they come.

    Args:
        connection: In autocommit mode; used by the writer's thread only, from now on.
        max_waiting: Pieces of work that may wait; more are refused.
        max_group: Pieces of work in one transaction.
        committed: Called after each commit, before the callers of `submit` know of it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        max_waiting: int,
        max_group: int,
        committed: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._connection = connection
        self._max_waiting = max_waiting
        self._max_group = max_group
        self._committed = committed
        self._waiting: deque[_Work[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._serve, name="event-log-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a piece of work.

        Args:
            run: What to do inside of the transaction.

        Returns:
            Its result, once the transaction is synced.

        Raises:
            LimitExceeded: Too much waits.
            Unavailable: The log is closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("event log: it is being closed, want another process or a later attempt")
            if len(self._waiting) >= self._max_waiting:
                raise LimitExceeded(
                    f"event log: got {len(self._waiting)} writes that wait for the disk, want fewer; try again later"
                )
            self._waiting.append(_Work(run, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Write what waits, then stop; the connection is closed."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while group := self._gather():
            self._write(group)
        self._connection.close()

    def _gather(self) -> list[_Work[Any]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group = list(islice(self._waiting, self._max_group))
            for _ in group:
                self._waiting.popleft()
        return group

    def _write(self, group: list[_Work[Any]]) -> None:
        connection = self._connection
        results: list[Any] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            results += [self._attempt(work) for work in group]
            connection.execute("COMMIT")
            self._committed(connection)
        except Exception as error:  # noqa: BLE001 - the callers get it; this thread must go on for the next ones
            self._failed(error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for work in group:
                # One each: an exception that several threads raise gathers the traces of all.
                failure = Unavailable(f"event log: cannot be written: {error}")
                failure.__cause__ = error
                work.future.set_exception(failure)
            return
        self._succeeded()
        for work, result in zip(group, results, strict=True):
            if isinstance(result, _Failed):
                work.future.set_exception(result.error)
            else:
                work.future.set_result(result)

    def _attempt(self, work: _Work[Any]) -> Any:
        connection = self._connection
        connection.execute("SAVEPOINT work")
        try:
            result = work.run(connection)
        except Exception as error:  # the waiting caller raises it
            if not connection.in_transaction or _disk_trouble(error):
                # Often SQLite itself has rolled everything back, as when the disk is full: the whole group failed.
                raise
            connection.execute("ROLLBACK TO work")
            result = _Failed(error)
        connection.execute("RELEASE work")
        return result

    def _failed(self, error: Exception) -> None:
        """Tell of the first failure in a row: nothing is acknowledged until somebody helps."""
        if not self._failing:
            _log.error(_disk_trouble(error) or "event_log_unwritable", message=str(error))
        self._failing = True

    def _succeeded(self) -> None:
        if self._failing:
            _log.info("event_log_writable")
        self._failing = False


def _disk_trouble(error: Exception) -> str | None:
    """Return the name of a failure of the disk; None for other errors."""
    # The lowest byte is the kind, the others say more exactly what happened.
    return _DISK_TROUBLE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception
