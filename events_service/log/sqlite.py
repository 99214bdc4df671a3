"""The event log in one SQLite file with a write-ahead log: acknowledged means synced.

One thread writes, in groups (`_writer`); readers have connections of their own and never wait for it. The SQL is in
`_statements`.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from common.clock import Clock
from common.errors import Unavailable
from common.positions import Epoch, Position
from common.private_files import private_folder
from common.process.long_poll import ChangeNotifier
from common.telemetry import NO_FIGURES, Figures
from events_service.log import Divergence, LogEntry
from events_service.log import _statements as statements
from events_service.log._clock import LogClock
from events_service.log._disk import sync_and_drop_cache
from events_service.log._files import lock_folder, make_private, sync_folders
from events_service.log._limits import MAX_GROUP, payload_bytes
from events_service.log._reader import LogReader
from events_service.log._schema import open_database, prepare
from events_service.log._writer import GroupWriter

__all__ = ["DATABASE", "SqliteEventLog"]

T = TypeVar("T")
DATABASE: Final = "events.db"
#: Removals are cut into pieces, so that appends in between wait for milliseconds only.
_REMOVAL_STEP: Final = 5000
#: Limit of the log's own bookkeeping, which no caller waits for.
_PATIENCE_SECONDS: Final = 60.0


class SqliteEventLog(LogReader):
    """The log in a folder, which it owns while it is open; see `EventLog`.

    Args:
        folder: Made when it does not exist.
        clock: Source of the present time.
        monotonic: Returns seconds on a clock that nobody sets.
        max_waiting: Appends that may wait for the disk; more are rejected.
        checkpoint_pages: Pages of 4096 bytes at which the write-ahead log is copied into the database.
        figures: Count what is written.

    Raises:
        ResourceInUse: Another process owns the folder.
        CorruptArtifact: The file is not an event log of a known version.
        StorageFull: The disk has no space to begin with.
        OSError: The disk cannot sync the files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        max_waiting: int = 4096,
        checkpoint_pages: int = 1000,
        figures: Figures = NO_FIGURES,
    ) -> None:
        self._lock = lock_folder(private_folder(folder))
        super().__init__(folder / DATABASE)
        # The epoch begins with the first write, so that a start without any leaves no trace.
        self._epoch = secrets.randbelow(2**63 - 1) + 1
        self._begun: Epoch | None = None
        self.appended = ChangeNotifier()
        self._wal_holds_removed = False
        try:
            make_private(self._path)
            for file in (self._path, self._path.with_name(f"{DATABASE}-wal")):
                sync_and_drop_cache(file)
            connection = open_database(self._path)
            try:
                # The writer copies the write-ahead log into the database itself.
                prepare(connection, checkpoint_pages=0)
            except BaseException:
                connection.close()
                raise
            sync_folders(folder)
        except BaseException:
            self._lock.close()
            raise
        self._clock = LogClock(clock, monotonic, newest_millis=statements.newest_millis(connection))
        self._end = statements.end(connection)
        self._writer = GroupWriter(
            connection,
            self._path,
            max_waiting=max_waiting,
            max_group=MAX_GROUP,
            checkpoint_pages=checkpoint_pages,
            on_commit=self._on_commit,
            figures=figures,
        )

    def append(self, entries: Sequence[LogEntry], *, seconds: float) -> tuple[int, ...]:
        """Append records and return when they are on disk; see `EventLog`."""
        return _result(self.submit(entries), seconds)

    def submit(self, entries: Sequence[LogEntry]) -> Future[tuple[int, ...]]:
        """Begin to append records; see `EventLog`."""
        return self._writer.submit_part(self._append, entries, size=payload_bytes(entries))

    def position(self, offset: int) -> Position:
        """Return the position of a record that was appended, without a look into the file for what this process did."""
        begun = self._begun
        if begun is not None and offset >= begun.first_offset:
            return Position(begun.epoch, offset)
        return super().position(offset)

    def catch_up(self) -> None:
        """Return: there is no other process; see `EventLog`."""

    def consumes(self) -> bool:
        """Return true: there is no other process; see `EventLog`."""
        return True

    def mark_consumed(self, consumer: str, location: str, offset: int) -> None:
        """Set the cursor of a consumer for a table; see `EventLog`."""
        mark = partial(statements.mark_consumed, consumer=consumer, location=location, offset=offset)
        _result(self._writer.submit(mark))

    def mark_diverged(self, location: str, divergence: Divergence) -> None:
        """Store which rows of a table another log wrote; see `EventLog`."""
        now = self._clock.now_millis()
        mark = partial(statements.mark_diverged, location=location, divergence=divergence, now_millis=now)
        _result(self._writer.submit(mark))

    def begin_after(self, offset: int) -> None:
        """Give what is appended from now on offsets above this one; see `EventLog`."""
        _result(self._writer.submit(partial(statements.begin_after, offset=offset, epoch=self._epoch)))

    def remove_table(self, location: str) -> int:
        """Remove all records of a deleted table; see `EventLog`."""
        removed = self._in_steps(partial(statements.remove_table_records, location=location, limit=_REMOVAL_STEP))
        end = partial(statements.end_table, location=location, epoch=self._epoch)
        self._wal_holds_removed |= _result(self._writer.submit(end)) or removed > 0
        self._truncate_wal()
        return removed

    def remove_records(self, location: str, offsets: Sequence[int]) -> int:
        """Remove some of a table's records; see `EventLog`."""
        removed = 0
        for begin in range(0, len(offsets), _REMOVAL_STEP):
            step = offsets[begin : begin + _REMOVAL_STEP]
            removed += _result(self._writer.submit(partial(statements.remove_records, location=location, offsets=step)))
        self._wal_holds_removed |= removed > 0
        self._truncate_wal()
        return removed

    def append_user_removal(self, dataset_group_arn: str, *, location: str, up_to_offset: int) -> int:
        """Append a `UserRemoval`; see `EventLog`."""
        append = partial(
            statements.append_user_removal,
            dataset_group_arn=dataset_group_arn,
            location=location,
            up_to_offset=up_to_offset,
            epoch=self._epoch,
        )
        return _result(self._writer.submit(append))

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
        if self._close_reader():
            self._writer.close()
            self._lock.close()

    def _append(self, connection: sqlite3.Connection, calls: Sequence[Sequence[LogEntry]]) -> Sequence[tuple[int, ...]]:
        now = self._clock.now_millis()
        return statements.append(connection, calls=calls, epoch=self._epoch, now_millis=now)

    def _in_steps(self, remove: Callable[[sqlite3.Connection], int]) -> int:
        """Call `remove`, one transaction each, until it removes nothing; return the sum."""
        total = 0
        while removed := _result(self._writer.submit(remove)):
            total += removed
        return total

    def _truncate_wal(self) -> None:
        if self._wal_holds_removed:
            self._wal_holds_removed = not self._wal_truncated()

    def _on_commit(self, connection: sqlite3.Connection) -> None:
        end = statements.end(connection)
        if self._begun is None:
            lineage = statements.lineage(connection)
            self._begun = next((epoch for epoch in lineage if epoch.epoch == self._epoch), None)
        if end > self._end:
            self._end = end
            self.appended.notify()


def _result(future: Future[T], seconds: float = _PATIENCE_SECONDS) -> T:
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise Unavailable(
            f"event log: got no answer from the disk within {seconds:g} s; records may or may not be kept, so repeat "
            "the call: what is kept already is not added again"
        ) from error
