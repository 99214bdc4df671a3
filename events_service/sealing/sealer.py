"""Seals: appends a table's events from the log, with the log's offset in the same commit.

What the table's own history says about that offset counts, not the log's note of it: after a crash between the commit
and the note, and after a commit whose answer got lost, nothing is appended twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from common import columns
from common.avro import AvroSchema
from common.errors import ResourceNotFound, TailorbirdError
from common.logs import get_logger
from common.storage import Store
from common.tables import Table
from events_service.domain.pace import Allowance, Pace
from events_service.log import Backlog, EventLog
from events_service.sealing.frames import events_frame
from events_service.trackers import Trackers

__all__ = ["Sealer"]

_log = get_logger(__name__)
_BATCH_EVENTS = 20_000
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class _Progress:
    """What is remembered of a table between two rounds.

    Attributes:
        version: Of the table after the last commit of ours; None before.
        failures: Attempts in a row that failed.
        not_before_seconds: When the next attempt may be made.
    """

    allowance: Allowance
    version: int | None = None
    failures: int = 0
    not_before_seconds: float = 0.0


class Sealer:
    """Moves events from the log to the tables; used by one thread.

    The number of small files of a table is bounded twice: `pace` limits how many commits there are, and after every
    `compact_commits` of its versions the table's small files are joined, so that a reader never meets more than about
    that many. A table's whole history is read from a checkpoint that Delta Lake writes every 100 commits.

    Args:
        log: Where events come from.
        store: Where tables are.
        trackers: Tell whether a table still exists; asked once per table and commit, so not through a cache.
        pace: Limits the commits of a table.
        compact_commits: Versions of a table between two compactions.
        monotonic: Returns seconds on a clock that never goes back.
    """

    def __init__(
        self,
        log: EventLog,
        store: Store,
        trackers: Trackers,
        *,
        pace: Pace,
        compact_commits: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._store = store
        self._trackers = trackers
        self._pace = pace
        self._compact_commits = compact_commits
        self._monotonic = monotonic
        self._progress: dict[str, _Progress] = {}

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
            progress = self._progress.setdefault(
                backlog.table.location, _Progress(Allowance(self._pace, self._monotonic()))
            )
            # Other tables' events may lie between the two offsets: then a commit comes early, which does no harm.
            waiting = backlog.last_offset - backlog.sealed_offset
            now = self._monotonic()
            if now < progress.not_before_seconds or not progress.allowance.permits(waiting, now):
                continue
            try:
                sealed += self._seal(backlog, progress, stopping)
            except Exception as error:  # noqa: BLE001 - the log keeps the events, and a later attempt may succeed
                self._failed(backlog, progress, error)
            else:
                self._succeeded(backlog, progress)
        return sealed

    def _seal(self, backlog: Backlog, progress: _Progress, stopping: Callable[[], bool]) -> int:
        location = backlog.table.location
        table = Table(self._store, location)
        if self._is_gone(backlog, table):
            self._log.mark_removed(location)
            self._progress.pop(location, None)
            _log.info("table_gone", location=location, unsealed_from=backlog.sealed_offset + 1)
            return 0
        schema = AvroSchema.parse(backlog.table.schema)
        done = self._sealed_offset(backlog, table)
        sealed = 0
        # Up to the events that were there at the beginning: a stream that never ends must not make commit after commit.
        while done < backlog.last_offset and not stopping():
            events = self._log.table_events(location, after=done, max_events=_BATCH_EVENTS)
            done = events[-1].offset
            rows = events_frame(events, schema)
            version = table.append(rows, app_id=columns.EVENTS_APP_ID, number=done)
            self._log.mark_sealed(location, done)
            progress.allowance.spend(self._monotonic())
            sealed += rows.height
            _log.debug("events_sealed", location=location, events=rows.height, offset=done, version=version)
            self._compact(table, progress, version)
        if not sealed and done > backlog.sealed_offset:
            self._log.mark_sealed(location, done)
        return sealed

    def _is_gone(self, backlog: Backlog, table: Table) -> bool:
        try:
            tracker = self._trackers.resolve(backlog.tracking_id)
        except ResourceNotFound:
            # A deleted tracker says nothing about its dataset. What was sealed and is not there any more was removed;
            # what was never sealed may be a table's first rows.
            return backlog.sealed_offset > 0 and not table.exists()
        return tracker.table is None or tracker.table.location != backlog.table.location

    def _sealed_offset(self, backlog: Backlog, table: Table) -> int:
        committed = table.transaction(columns.EVENTS_APP_ID) or 0
        end = self._log.bounds().end
        if committed >= end:
            # Offsets never fall, so the log was replaced by another, which begins again; its own notes hold.
            _log.warning(
                "event_log_replaced", location=backlog.table.location, committed_offset=committed, next_offset=end
            )
            return backlog.sealed_offset
        return max(backlog.sealed_offset, committed)

    def _compact(self, table: Table, progress: _Progress, version: int) -> None:
        before = max(version - 1, 0) if progress.version is None else progress.version
        if version // self._compact_commits > before // self._compact_commits:
            version = table.compact()
            _log.info("table_compacted", location=table.location, version=version)
        progress.version = version

    def _failed(self, backlog: Backlog, progress: _Progress, error: Exception) -> None:
        if progress.failures == 0:
            known = isinstance(error, TailorbirdError)
            _log.warning(
                "sealing_failed",
                location=backlog.table.location,
                message=str(error),
                exc_info=None if known else error,
            )
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(progress.failures, 20))
        progress.failures += 1
        progress.not_before_seconds = self._monotonic() + pause

    def _succeeded(self, backlog: Backlog, progress: _Progress) -> None:
        if progress.failures:
            _log.info("sealing_resumed", location=backlog.table.location, failures=progress.failures)
        progress.failures = 0
