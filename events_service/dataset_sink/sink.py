"""Seals: appends a table's events from the log, with their place in the log in the same commit.

What the table's own history says about that place counts, not the log's note of it: after a crash between the commit
and the note, and after a commit whose answer got lost, nothing is appended twice. A table that another log wrote to,
for this one was restored or begun anew, goes on from where the two parted; rows of the other log that are of the same
events are found by the events' ids.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from common import columns
from common.avro import AvroSchema
from common.errors import TailorbirdError, Unavailable
from common.logs import get_logger
from common.positions import Position
from common.process.backoff import Backoff, BackoffPolicy
from common.storage import Store
from common.tables import Table
from events_service.dataset_sink.frames import events_frame
from events_service.domain.rate_limit import Pace, TokenBucket
from events_service.log import Divergence, EventLog, TableLag
from events_service.trackers import Tables

__all__ = ["DatasetSink"]

_log = get_logger(__name__)
_BATCH_EVENTS = 20_000
_BACKOFF: Final = BackoffPolicy(first_seconds=1.0, longest_seconds=60.0)
_ALARM_EVERY_SECONDS = 3600.0
#: Rows of another log that are compared at most, the newest: repetitions come from senders who were cut off lately.
_MAX_DIVERGED = 1_000_000


@dataclass(slots=True)
class _Progress:
    """What is remembered of a table between two rounds.

    Attributes:
        version: Of the table after the last commit of ours; None before.
        backoff: Counts the attempts in a row that failed.
        failing_since_seconds: When the first of them was made.
        alarm_at_seconds: When somebody is to be told next.
        not_before_seconds: When the next attempt may be made.
        lock: Held by whoever seals the table.
    """

    allowance: TokenBucket
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(_BACKOFF))
    failing_since_seconds: float = 0.0
    alarm_at_seconds: float = 0.0
    not_before_seconds: float = 0.0


class DatasetSink:
    """Moves events from the log to the tables; safe to share between threads.

    The number of small files of a table is bounded twice: `pace` limits how many commits there are, and after every
    `compact_commits` of its versions the table's small files are joined, so that a reader never meets more than about
    that many. A table's whole history is read from a checkpoint that Delta Lake writes every 100 commits.

    Args:
        log: Where events come from.
        store: Where tables are.
        tables: Tell whether a table's dataset still exists; asked before each sealing, so not through a cache.
        pace: Limits the commits of a table.
        compact_commits: Versions of a table between two compactions.
        alarm_seconds: A table that cannot be sealed for so long is told as an ERROR, and again every hour.
        monotonic: Returns seconds on a clock that never goes back.
    """

    def __init__(
        self,
        log: EventLog,
        store: Store,
        tables: Tables,
        *,
        pace: Pace,
        compact_commits: int,
        alarm_seconds: float = 600.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._store = store
        self._tables = tables
        self._pace = pace
        self._compact_commits = compact_commits
        self._alarm_seconds = alarm_seconds
        self._monotonic = monotonic
        self._progress: dict[str, _Progress] = {}
        self._progress_lock = threading.Lock()

    def seal_due(self, *, stopping: Callable[[], bool] = lambda: False) -> int:
        """Seal each table whose turn it is; a table that cannot be sealed now holds up no other.

        Args:
            stopping: Asked between commits; true ends the round.

        Returns:
            How many events were appended.
        """
        sealed = 0
        for backlog in self._log.backlogs():
            if stopping():
                break
            progress = self._progress_of(backlog.table.location)
            # Other tables' events may lie between the two offsets: then a commit comes early, which does no harm.
            waiting = backlog.last_offset - backlog.sealed_offset
            now = self._monotonic()
            if now < progress.not_before_seconds or not progress.allowance.permits(waiting, now):
                continue
            if not progress.lock.acquire(blocking=False):
                continue  # somebody flushes it
            try:
                if self._is_wanted(backlog.table.location):
                    sealed += self._seal(backlog, progress, stopping)[0]
            except Exception as error:  # noqa: BLE001 - the log keeps the events, and a later attempt may succeed
                self._failed(backlog, progress, error)
            else:
                self._succeeded(backlog, progress)
            finally:
                progress.lock.release()
        return sealed

    def flush(self, location: str, *, seconds: float) -> Position:
        """Seal all events that a table has in the log at this moment, whatever the pace; return how far it reaches.

        Args:
            location: Of the table; one that the log has nothing of has nothing to be sealed.
            seconds: How long this may take.

        Raises:
            Unavailable: The table cannot be sealed now, or not all of it in that time; what is sealed stays sealed.
        """
        until = self._monotonic() + seconds
        backlog = self._log.backlog(location)
        if backlog is None:
            return Table(self._store, location).event_position()
        progress = self._progress_of(location)
        with self._held(progress.lock, location, seconds):
            if self._is_wanted(location):
                _, done = self._seal(backlog, progress, lambda: self._monotonic() >= until)
                if done < backlog.last_offset:
                    raise Unavailable(
                        f"dataset {location}: got events up to {done} sealed within {seconds:g} s, want those up to "
                        f"{backlog.last_offset}; repeat the call"
                    )
            return Table(self._store, location).event_position()

    def _is_wanted(self, location: str) -> bool:
        """Return whether a table is still a dataset's; one that is gone is forgotten."""
        if location in self._tables.active([location]):
            return True
        self._forget(location)
        return False

    def _seal(self, backlog: TableLag, progress: _Progress, stopping: Callable[[], bool]) -> tuple[int, int]:
        """Append a table's events; return how many those were, and the offset that the table reaches to."""
        location = backlog.table.location
        table = Table(self._store, location)
        schema = AvroSchema.parse(backlog.table.schema)
        done, divergence = self._begin(backlog, table)
        sealed = 0
        # Up to the events that were there at the beginning: a stream that never ends must not make commit after commit.
        while done < backlog.last_offset and not stopping():
            events = self._log.table_events(location, after=done, max_events=_BATCH_EVENTS)
            if not events:
                break  # the table was removed meanwhile
            done = events[-1].offset
            rows = _without_repetitions(events_frame(events, schema), table, divergence)
            version = table.append_events(rows, self._log.lineage().at(done))
            self._log.mark_sealed(location, done)
            progress.allowance.spend(self._monotonic())
            sealed += rows.height
            _log.debug("events_sealed", location=location, events=rows.height, offset=done, version=version)
            self._compact(table, progress, version)
        if not sealed and done > backlog.sealed_offset:
            # Not beyond our own events: the table may be ahead of a log that was restored and has yet to part from it.
            self._log.mark_sealed(location, min(done, backlog.last_offset))
        return sealed, done

    def forget_gone(self) -> int:
        """Remove from the log what it has of tables that are gone; return how many tables that were.

        Raises:
            Unavailable: The control plane or the store cannot be asked now.
        """
        known = self._log.tables()
        active = self._tables.active(known)
        return sum(self._forget(location) for location in known if location not in active)

    def _forget(self, location: str) -> bool:
        """Remove what the log has of a table whose dataset is gone, once the store has nothing of it either.

        Both have to say so: a control plane that has lost its database must not empty the log.
        """
        if Table(self._store, location).exists():
            return False
        events = self._log.remove_table(location)
        with self._progress_lock:
            self._progress.pop(location, None)
        _log.info("table_gone", location=location, events=events)
        return True

    def _begin(self, backlog: TableLag, table: Table) -> tuple[int, Divergence | None]:
        """Return the offset up to which a table has its events, and what of it another log wrote."""
        position, lineage = table.event_position(), self._log.lineage()
        if lineage.has(position):
            return position.offset, backlog.divergence
        # What this log notes is true of its own events, also where the table says nothing that it understands.
        shared = lineage.shared(position)
        done = max(shared, backlog.sealed_offset)
        # Logs may have followed one another: the last of them need not have come as far as one before.
        until = max(position.offset, table.last_streamed_offset())
        found = Divergence(max(shared, until - _MAX_DIVERGED), until)
        _log.warning("event_log_replaced", location=table.location, sealed_offset=done, other_offset=position.offset)
        self._log.mark_diverged(table.location, found)
        before = backlog.divergence or found
        return done, Divergence(min(before.after, found.after), max(before.until, found.until))

    def _progress_of(self, location: str) -> _Progress:
        with self._progress_lock:
            return self._progress.setdefault(location, _Progress(TokenBucket(self._pace, self._monotonic())))

    @contextmanager
    def _held(self, lock: threading.Lock, location: str, seconds: float) -> Iterator[None]:
        if not lock.acquire(timeout=max(seconds, 0.0)):
            raise Unavailable(f"dataset {location}: it is being sealed for longer than {seconds:g} s; repeat the call")
        try:
            yield
        finally:
            lock.release()

    def _compact(self, table: Table, progress: _Progress, version: int) -> None:
        before = max(version - 1, 0) if progress.version is None else progress.version
        if version // self._compact_commits > before // self._compact_commits:
            version = table.compact()
            _log.info("table_compacted", location=table.location, version=version)
        progress.version = version

    def _failed(self, backlog: TableLag, progress: _Progress, error: Exception) -> None:
        now, location = self._monotonic(), backlog.table.location
        if progress.backoff.failures == 0:
            known = isinstance(error, TailorbirdError)
            _log.warning("sealing_failed", location=location, message=str(error), exc_info=None if known else error)
            progress.failing_since_seconds, progress.alarm_at_seconds = now, now + self._alarm_seconds
        elif now >= progress.alarm_at_seconds:
            progress.alarm_at_seconds = now + _ALARM_EVERY_SECONDS
            _log.error(
                "sealing_stuck",
                location=location,
                seconds=round(now - progress.failing_since_seconds),
                unsealed_from=backlog.sealed_offset + 1,
                message=str(error),
            )
        progress.not_before_seconds = now + progress.backoff.failed()

    def _succeeded(self, backlog: TableLag, progress: _Progress) -> None:
        if progress.backoff.failures:
            _log.info("sealing_resumed", location=backlog.table.location, failures=progress.backoff.failures)
        progress.backoff.succeeded()


def _without_repetitions(rows: pl.DataFrame, table: Table, divergence: Divergence | None) -> pl.DataFrame:
    """Leave out the events that another log had put into the table."""
    if divergence is None:
        return rows
    for ids in table.streamed_ids(after=divergence.after, up_to=divergence.until):
        rows = rows.filter(~pl.col(columns.EVENT_ID).is_in(ids.implode()))
    return rows
