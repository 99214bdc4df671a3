"""The event log in a JetStream stream: acknowledged means that the stream has it; any number of processes write.

The stream is a list of changes (`log_stream.proto`). Each process applies them in their order to a SQLite file of its
own, the replica, from which it reads. A change is worked out from the replica and written with the sequence of the last
message that was applied: the server takes it only if nobody else wrote in between; otherwise it is worked out again. So
changes are serializable, ids are unique for as long as their records are kept, and offsets have no gaps.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from common.clock import Clock
from common.errors import InvalidInput, Unavailable
from common.private_files import private_folder
from common.process.long_poll import ChangeNotifier
from events_service.log import Divergence, LogEntry
from events_service.log import _changes as changes
from events_service.log import _statements as statements
from events_service.log._clock import LogClock
from events_service.log._files import lock_folder
from events_service.log._reader import LogReader
from events_service.log._replica import REPLICA, append_bytes, open_replica
from events_service.log._replicator import Change, Replicator
from events_service.log.stream_target import StreamTarget

__all__ = ["REPLICA", "JetStreamEventLog"]

T = TypeVar("T")
#: Limit of the log's own bookkeeping, which no caller waits for.
_PATIENCE_SECONDS: Final = 60.0


class JetStreamEventLog(LogReader):
    """The log in a stream; see `EventLog`. Appends, and everything else that changes it, need the server.

    Args:
        target: The stream, which is made if there is none.
        folder: Holds the replica; of this process alone. Made when it does not exist.
        clock: Source of the present time.
        monotonic: Returns seconds on a clock that nobody sets.
        max_waiting: Changes that may wait for the stream; more are rejected.
        start_seconds: How long the start may take, which reads what the replica does not have yet.
        lease_seconds: Time without a sign of the process that consumes after which another one takes over.

    Raises:
        ResourceInUse: Another process owns the folder.
        InvalidInput: The server cannot hold the log.
        Unavailable: The server cannot be reached.
    """

    def __init__(
        self,
        target: StreamTarget,
        folder: Path,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        max_waiting: int = 4096,
        start_seconds: float = 3600.0,
        lease_seconds: float = 10.0,
    ) -> None:
        super().__init__(folder / REPLICA)
        self._lock = lock_folder(private_folder(folder))
        self.appended = ChangeNotifier()
        try:
            connection = open_replica(self._path)
            self._clock = LogClock(clock, monotonic, newest_millis=statements.newest_millis(connection))
            self._replicator = Replicator(
                connection,
                target,
                max_waiting=max_waiting,
                lease_seconds=lease_seconds,
                monotonic=monotonic,
                on_change=self.appended.notify,
            )
            self._loop = asyncio.new_event_loop()
            opened: Future[None] = Future()
            self._thread = threading.Thread(
                target=self._serve, args=[connection, opened], name="event-log-stream", daemon=True
            )
            self._thread.start()
            opened.result(start_seconds)
        except BaseException:
            self._lock.close()
            raise

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Append records and return when the stream has them; see `EventLog`."""
        return self._result(self.submit(entries), seconds)

    def submit(self, entries: Sequence[LogEntry]) -> Future[tuple[int, ...]]:
        """Begin to append records; see `EventLog`."""
        if len({entry.table for entry in entries}) != 1:
            raise InvalidInput("`entries`: got records of several tables, want those of one")
        size, most = append_bytes(entries), self._replicator.max_bytes
        if size > most:
            raise InvalidInput(f"`entries`: got {size} bytes, want at most {most}: raise `max_payload` of nats-server")
        return self._replicator.append(entries, now_millis=self._clock.now_millis())

    def catch_up(self) -> None:
        """Return when the replica has all that was in the stream before the call; see `EventLog`."""
        self._result(self._replicator.catch_up())

    def consumes(self) -> bool:
        """Return whether this process holds the lease; see `EventLog`."""
        return self._replicator.lease.held()

    def mark_consumed(self, consumer: str, location: str, offset: int) -> None:
        """Set the cursor of a consumer for a table; see `EventLog`."""
        self._change(partial(changes.set_cursor, consumer=consumer, location=location, offset=offset))

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Store which rows of a table another log wrote; see `EventLog`."""
        now = self._clock.now_millis()
        self._change(partial(changes.diverge, location=location, divergence=divergence, now_millis=now))

    def begin_after(self, offset: int) -> None:
        """Give what is appended from now on offsets above this one; see `EventLog`."""
        self._change(partial(changes.begin_after, offset=offset, now_millis=self._clock.now_millis()))

    def remove_table(self, location: str) -> int:
        """Remove all records of a deleted table; see `EventLog`."""
        removed: int = self._change(partial(changes.remove_table, location=location))
        self._wal_truncated()
        return removed

    def remove_records(self, location: str, offsets: Sequence[int]) -> int:
        """Remove some of a table's records; see `EventLog`."""
        total = 0
        while removed := self._change(partial(changes.remove_records, location=location, offsets=offsets)):
            total += removed
        self._wal_truncated()
        return total

    def append_user_removal(self, dataset_group_arn: str, *, location: str, up_to_offset: int) -> int:
        """Append a `UserRemoval`; see `EventLog`."""
        append = partial(
            changes.append_user_removal,
            dataset_group_arn=dataset_group_arn,
            location=location,
            up_to_offset=up_to_offset,
        )
        offset: int = self._change(append)
        return offset

    def remove_old(self, retention: timedelta, *, kept_for: Sequence[str]) -> int:
        """Remove records that are older than `retention`; see `EventLog`."""
        now = self._clock.now_millis()
        before = now - int(retention.total_seconds() * 1000)
        total = 0
        while removed := self._change(partial(changes.remove_old, kept_for=kept_for, before_millis=before)):
            total += removed
        self._change(partial(changes.tidy, before_millis=before, now_millis=now))
        self._wal_truncated()
        return total

    def close(self) -> None:
        """Write what is queued and close the connection and the files."""
        if self._close_reader():
            self._replicator.stop()
            self._thread.join()
            self._lock.close()

    def _serve(self, connection: sqlite3.Connection, opened: Future[None]) -> None:
        try:
            self._loop.run_until_complete(self._replicator.run(opened))
        finally:
            self._loop.close()
            connection.close()

    def _change(self, change: Change) -> Any:
        return self._result(self._replicator.change(change))

    def _result(self, future: Future[T], seconds: float = _PATIENCE_SECONDS) -> T:
        try:
            return future.result(seconds)
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(
                f"event log: got no acknowledgement within {seconds:g} s; records may or may not be kept, so repeat "
                "the call: what is kept already is not added again"
            ) from error
