"""The consumer of the log that writes records to the tables of datasets, each exactly once.

Each commit carries the offset of its last event (the committed offset). The one in the table's own history decides, not
the log's copy of it: after a crash between the commit and the copy, and after a commit whose response got lost, nothing
is appended twice. A table that another log wrote to, because this one was restored or replaced, continues from where
the two logs diverged; rows that the other log wrote for the same events are recognised by the events' ids. The log then
goes on with offsets above those of all rows: of two rows of an item, the one with the larger offset holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from common import columns
from common.avro import AvroSchema
from common.errors import Unavailable
from common.logs import get_logger
from common.positions import Position
from common.storage import Store
from common.table_maintenance import MaintainedTable, MaintenanceBounds
from common.tables import Table, TableChanged
from events_service.dataset_sink.rows import entities_frame, events_frame
from events_service.domain.entities import ENTITY_TYPES
from events_service.domain.rate_limit import CommitRateLimit, TokenBucket
from events_service.log import Divergence, EventLog, LoggedRecord, LogTable, TableLag
from events_service.trackers import Tables

__all__ = ["DatasetSink"]

_log = get_logger(__name__)
_BATCH_RECORDS = 20_000
#: How often a table is read again because another events service has written to it.
_ATTEMPTS = 5
#: How many of the newest rows of another log are compared: those who repeat a call lost their connection lately.
_MAX_DIVERGED = 1_000_000
#: Of one compaction, during which a flush of the table waits: storage maintenance does what is more.
_BOUNDS: Final = MaintenanceBounds(seconds=10.0, group_bytes=16 << 20, group_rows=1_000_000, group_files=1000)


@dataclass(slots=True)
class _Progress:
    """The state of a table between two flushes.

    Attributes:
        token_bucket: Limits the commits.
        lock: Held during a flush.
        version: The table's version after our last commit; None before the first.
    """

    token_bucket: TokenBucket
    lock: threading.Lock = field(default_factory=threading.Lock)
    version: int | None = None


class DatasetSink:
    """Moves records from the log to the tables, a `Consumer`; safe to share between threads.

    The number of small files of a table is bounded twice: `commit_rate` limits how many commits there are, and
    after every `compact_commits` versions the table's small files are joined, so that a reader opens at most about that
    many. A table's history is read from a checkpoint that Delta Lake writes every 100 commits.

    Args:
        log: The source of records.
        store: Holds the tables.
        tables: Says whether a table's dataset still exists; called before each flush, so not through a cache.
        commit_rate: Limits the commits of a table.
        compact_commits: Versions of a table between two compactions.
        monotonic: Returns seconds on a clock that never goes back.
    """

    name = "dataset_sink"

    def __init__(
        self,
        log: EventLog,
        store: Store,
        tables: Tables,
        *,
        commit_rate: CommitRateLimit,
        compact_commits: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._store = store
        self._tables = tables
        self._commit_rate = commit_rate
        self._compact_commits = compact_commits
        self._monotonic = monotonic
        self._progress: dict[str, _Progress] = {}
        self._progress_lock = threading.Lock()

    def is_due(self, lag: TableLag) -> bool:
        """Return whether the rate limit permits a commit now; see `Consumer`."""
        # Other tables' records may lie between the two offsets: then a commit comes early, which does no harm.
        pending = lag.last_offset - lag.committed_offset
        return self._progress_of(lag.table.location).token_bucket.permits(pending, self._monotonic())

    def consume(self, lag: TableLag, *, stopping: Callable[[], bool]) -> int:
        """Write a table's records; see `Consumer`."""
        progress = self._progress_of(lag.table.location)
        if not progress.lock.acquire(blocking=False):
            return 0  # a call flushes it
        try:
            current = self._current(lag)
            return 0 if current is None else self._write(current, progress, stopping)[0]
        finally:
            progress.lock.release()

    def flush(self, location: str, *, seconds: float) -> Position:
        """Write all records that the log has for a table now, whatever the rate limit; return the committed position.

        Args:
            location: The table's; if the log has nothing for it, nothing is appended.
            seconds: How long this may take.

        Raises:
            Unavailable: The table cannot be written now, or not all records in that time; what is committed stays.
        """
        until = self._monotonic() + seconds
        self._log.catch_up()
        lag = self._log.lag(self.name, location)
        if lag is None:
            return Table(self._store, location).event_position()
        progress = self._progress_of(location)
        with self._held(progress.lock, location, seconds):
            current = self._current(lag)
            if current is not None:
                _, committed = self._write(current, progress, lambda: self._monotonic() >= until)
                if committed < lag.last_offset:
                    raise Unavailable(
                        f"dataset {location}: got records up to {committed} written within {seconds:g} s, want those "
                        f"up to {lag.last_offset}; repeat the call"
                    )
            return Table(self._store, location).event_position()

    def pass_other_logs(self, location: str) -> None:
        """Let the log go on with offsets above those of all rows of a table that another log has written.

        Raises:
            Unavailable: The table or the log cannot be reached.
        """
        table = Table(self._store, location)
        position = table.event_position()
        # What another process has written to the table is in the log; here it may not be seen yet.
        self._log.catch_up()
        lineage = self._log.lineage()
        # A log that was restored and has not written since need not differ, it is shorter.
        if not lineage.has(position) or position.offset >= self._log.bounds().end:
            self._log.begin_after(_last_of_other_logs(table, position) + 1)

    def _current(self, lag: TableLag) -> TableLag | None:
        """Return a lag with the schema that the dataset has now; without a dataset None, and the log forgets the table.

        Records that were taken before this service was told of a column have it all the same.
        """
        location = lag.table.location
        schema = self._tables.active([location], rows_wait=True, with_schemas=True).get(location)
        if schema is None:
            self._remove_if_deleted(location)
            return None
        return replace(lag, table=lag.table.widened(schema)) if schema else lag

    def _write(self, lag: TableLag, progress: _Progress, stopping: Callable[[], bool]) -> tuple[int, int]:
        """Write a table's records; return how many rows those were, and the table's committed offset.

        Another events service may write the same ones: then the commit is not made, and this goes on from its.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._write_from_position(lag, progress, stopping)
            except TableChanged:
                _log.info("table_changed", location=lag.table.location)
        raise Unavailable(
            f"dataset {lag.table.location}: got a commit of another events service before each of {_ATTEMPTS}, want "
            "none; repeat the call"
        )

    def _write_from_position(self, lag: TableLag, progress: _Progress, stopping: Callable[[], bool]) -> tuple[int, int]:
        location = lag.table.location
        table = Table(self._store, location)
        position = table.event_position()
        committed, divergence = self._committed_offset(lag, table, position)
        if divergence is not None:
            # What was appended before the log left offsets out is written in this call, before a next import.
            lag = replace(self._log.lag(self.name, location) or lag, table=lag.table)
        appended = 0
        # Up to the last record at the beginning: an endless stream must not keep this call in commit after commit.
        while committed < lag.last_offset and not stopping():
            page = self._log.table_records(location, after=committed, max_records=_BATCH_RECORDS)
            # What came since may have columns that the schema of the lag does not have yet.
            records = [record for record in page if record.offset <= lag.last_offset]
            if not records:
                break  # the table was removed meanwhile
            committed = records[-1].offset
            before, position = position, self._log.lineage().at(committed)
            rows, version = self._commit(lag.table, table, records, divergence, position, after=before)
            self._log.mark_consumed(self.name, location, committed)
            progress.token_bucket.spend(self._monotonic())
            appended += rows
            _log.debug("records_flushed", location=location, rows=rows, offset=committed, version=version)
            self._compact(table, progress, version)
        if not appended and committed > lag.committed_offset:
            # Not beyond our own events: the table may be ahead of a restored log that has not diverged from it yet.
            self._log.mark_consumed(self.name, location, min(committed, lag.last_offset))
        return appended, committed

    def _commit(
        self,
        target: LogTable,
        table: Table,
        records: Sequence[LoggedRecord],
        divergence: Divergence | None,
        position: Position,
        *,
        after: Position,
    ) -> tuple[int, int]:
        """Write records to a table in one commit; return how many rows those were, and the version."""
        schema = AvroSchema.parse(target.schema)
        kind = ENTITY_TYPES.get(target.dataset_type)
        if kind is None:
            rows = _drop_repetitions(events_frame(records, schema), table, divergence)
            return rows.height, table.append_events(rows, position, after=after)
        # One that was written before is written once more, which changes nothing.
        rows = entities_frame(records, schema, kind)
        if divergence is not None:
            # Records from before the log left offsets out: they are newer than all rows that another log wrote.
            rows = rows.with_columns(pl.col(columns.LOG_OFFSET).clip(lower_bound=divergence.until + 1))
        return rows.height, table.upsert_records(rows, position, key=kind.id_column, after=after)

    def remove_deleted(self) -> int:
        """Remove from the log the events of deleted tables; return how many tables that were.

        Raises:
            Unavailable: The control plane or the store cannot be reached now.
        """
        locations = self._log.tables()
        active = self._tables.active(locations)
        return sum(self._remove_if_deleted(location) for location in locations if location not in active)

    def _remove_if_deleted(self, location: str) -> bool:
        """Remove from the log the events of a table whose dataset is deleted, if the store has no files of it either.

        Both conditions are needed: a control plane that has lost its database must not empty the log.
        """
        if Table(self._store, location).exists():
            return False
        events = self._log.remove_table(location)
        with self._progress_lock:
            self._progress.pop(location, None)
        _log.info("table_removed", location=location, events=events)
        return True

    def _committed_offset(self, lag: TableLag, table: Table, position: Position) -> tuple[int, Divergence | None]:
        """Return the offset up to which a table has its events, and which of its rows another log wrote."""
        if position.offset > lag.committed_offset:
            # Committed by a process that died before it moved the cursor, and maybe before it synced.
            table.sync_newest()
        lineage = self._log.lineage()
        if not lineage.has(position):
            # Another process may have written what is not seen here yet.
            self._log.catch_up()
            lineage = self._log.lineage()
        if lineage.has(position):
            return position.offset, lag.divergence
        # This log's own copy is true of its own events, also where the table's position is of an unknown log.
        shared = lineage.shared(position)
        committed = max(shared, lag.committed_offset)
        until = _last_of_other_logs(table, position)
        divergence = Divergence(max(shared, until - _MAX_DIVERGED), until)
        _log.warning(
            "event_log_replaced", location=table.location, committed_offset=committed, other_offset=position.offset
        )
        self._log.mark_diverged(table.location, divergence)
        # One offset is for what the log has appended since: see `_commit`.
        self._log.begin_after(until + 1)
        before = lag.divergence or divergence
        return committed, Divergence(min(before.after, divergence.after), max(before.until, divergence.until))

    def _progress_of(self, location: str) -> _Progress:
        with self._progress_lock:
            return self._progress.setdefault(location, _Progress(TokenBucket(self._commit_rate, self._monotonic())))

    @contextmanager
    def _held(self, lock: threading.Lock, location: str, seconds: float) -> Iterator[None]:
        if not lock.acquire(timeout=max(seconds, 0.0)):
            raise Unavailable(f"dataset {location}: a flush takes longer than {seconds:g} s; repeat the call")
        try:
            yield
        finally:
            lock.release()

    def _compact(self, table: Table, progress: _Progress, version: int) -> None:
        before = max(version - 1, 0) if progress.version is None else progress.version
        if version // self._compact_commits > before // self._compact_commits:
            with TemporaryDirectory() as folder:
                small = MaintainedTable(self._store, table.location)
                maintained = small.maintain(Path(folder), bounds=_BOUNDS, retention_hours=None)
            version = maintained.version
            _log.info("table_compacted", location=table.location, version=version, files=maintained.joined_files)
        progress.version = version


def _last_of_other_logs(table: Table, position: Position) -> int:
    """Return the largest offset that a table has from any log.

    Several logs may have written one after another: the last, whose position it has, need not have come as far as one
    before.
    """
    return max(position.offset, table.largest_offset())


def _drop_repetitions(rows: pl.DataFrame, table: Table, divergence: Divergence | None) -> pl.DataFrame:
    """Drop the events that another log has written to the table already."""
    if divergence is None:
        return rows
    for ids in table.streamed_ids(after=divergence.after, up_to=divergence.until):
        rows = rows.filter(~pl.col(columns.EVENT_ID).is_in(ids.implode()))
    return rows
