"""The sums of metric attributions and how far they go in the log, in one database, so that both change together.

A transaction that adds to sums moves the cursor too: after a kill at any moment each record is in the sums once. The
log's own cursor of the consumer is a copy, which may lag behind.

What is open is sealed into a report, which is written and then forgotten. A sealed report never changes, so one that is
written again after a kill is the same, under the same name.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.attribution import UNDEFINED_SOURCE, SumKey
from common.errors import CorruptArtifact
from common.metric_expressions import MathFunction
from common.positions import Position
from common.private_files import private_file
from events_service.trackers import Attribution

__all__ = ["AttributionState", "Report", "Total"]

_VERSION: Final = 2
#: What version 2 has beyond version 1: a name that tells this database from those of other services with the same log.
_FROM_VERSION_1: Final = """
CREATE TABLE identity (name TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(4))));
"""
_SCHEMA: Final = f"""
{_FROM_VERSION_1}
-- Records that were in the log when this database was made count for nothing.
CREATE TABLE baseline (epoch INTEGER NOT NULL, "offset" INTEGER NOT NULL) STRICT;
CREATE TABLE cursors (location TEXT PRIMARY KEY, epoch INTEGER NOT NULL, "offset" INTEGER NOT NULL) STRICT;
-- What was counted and is in no report that was written; `report` is 0 for what is open.
CREATE TABLE sums (
    attribution TEXT NOT NULL,
    report INTEGER NOT NULL,
    window_seconds INTEGER NOT NULL,
    metric TEXT NOT NULL,
    event_type TEXT NOT NULL,
    function TEXT NOT NULL,
    source TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (attribution, report, window_seconds, metric, event_type, function, source)
) STRICT, WITHOUT ROWID;
-- What was counted since the attribution was created.
CREATE TABLE totals (
    attribution TEXT NOT NULL,
    dataset_group_arn TEXT NOT NULL,
    metric TEXT NOT NULL,
    event_type TEXT NOT NULL,
    function TEXT NOT NULL,
    source TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (attribution, metric, event_type, function, source)
) STRICT, WITHOUT ROWID;
CREATE TABLE reports (
    attribution TEXT PRIMARY KEY,
    -- When something was counted first after the last report; null when nothing was.
    open_since INTEGER,
    -- The moment in the name of the last report.
    sealed_at INTEGER NOT NULL DEFAULT 0
) STRICT;
-- Campaigns and recommenders, and when they were there last: recommendations outlive them.
CREATE TABLE targets (
    dataset_group_arn TEXT NOT NULL,
    arn TEXT NOT NULL,
    seen_seconds INTEGER NOT NULL,
    PRIMARY KEY (dataset_group_arn, arn)
) STRICT, WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO sums VALUES (?, 0, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = value + excluded.value
"""
_ADD_TOTAL: Final = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value
"""
_OPEN: Final = """
INSERT INTO reports (attribution, open_since) VALUES (?, ?)
ON CONFLICT DO UPDATE SET open_since = COALESCE(open_since, excluded.open_since)
"""


@dataclass(frozen=True, slots=True)
class Report:
    """Sums that go into one file.

    Attributes:
        attribution: Key of the metric attribution.
        sealed_at: The moment in its name, in seconds since 1970; no other report has it.
        rows: The sums, in order.
    """

    attribution: str
    sealed_at: int
    rows: Sequence[tuple[SumKey, float]]


@dataclass(frozen=True, slots=True)
class Total:
    """What a metric came to for one source since the attribution was created."""

    dataset_group_arn: str
    metric: str
    event_type: str
    function: MathFunction
    source: str
    value: float


class AttributionState:
    """The database; one process owns it, safe to share between threads.

    Args:
        path: The file, made when it is missing, in an existing folder.
        end: The end of the log now: a new database counts nothing before it.

    Raises:
        CorruptArtifact: The file is no such database, or of another version.
    """

    def __init__(self, path: Path, *, end: Position) -> None:
        self._lock = threading.Lock()
        private_file(path)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(end)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise CorruptArtifact(f"metric attribution: {path} cannot be opened: {error}") from error
        epoch, offset = self._connection.execute('SELECT epoch, "offset" FROM baseline').fetchone()
        self.baseline = Position(epoch, offset)
        (self.name,) = self._connection.execute("SELECT name FROM identity").fetchone()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def position(self, location: str) -> Position | None:
        """Return up to where a table's records are consumed; None when none ever was."""
        with self._lock:
            row = self._connection.execute(
                'SELECT epoch, "offset" FROM cursors WHERE location = ?', (location,)
            ).fetchone()
        return None if row is None else Position(*row)

    def skip(self, location: str, position: Position) -> None:
        """Count nothing of a table's records up to a position."""
        with self._transaction() as connection:
            _move(connection, location, position)

    def add(
        self,
        location: str,
        position: Position,
        attribution: Attribution,
        sums: Mapping[SumKey, float],
        *,
        now: float,
    ) -> None:
        """Add what a table's records up to a position come to, and move the cursor, in one transaction."""
        group, key = attribution.dataset_group_arn, attribution.key
        with self._transaction() as connection:
            _move(connection, location, position)
            rows = [(item.metric, item.event_type, item.function, item.source, sums[item]) for item in sums]
            windows = [item.window_seconds for item in sums]
            connection.executemany(_ADD, [(key, window, *row) for window, row in zip(windows, rows, strict=True)])
            connection.executemany(_ADD_TOTAL, [(key, group, *row) for row in rows])
            if rows:
                connection.execute(_OPEN, (key, int(now)))

    def sources(self, attribution: Attribution) -> set[str]:
        """Return the sources that were counted for an attribution, the undefined one left out."""
        query = "SELECT DISTINCT source FROM totals WHERE attribution = ? AND source <> ?"
        with self._lock:
            return {row[0] for row in self._connection.execute(query, (attribution.key, UNDEFINED_SOURCE))}

    def targets(self, attribution: Attribution, *, now: float, kept_seconds: float) -> list[str]:
        """Return the campaigns and recommenders that a group has, or had a while ago, after noting those it has.

        Args:
            attribution: Names those that it has.
            now: Seconds since 1970.
            kept_seconds: How long one that is gone is remembered.
        """
        group = attribution.dataset_group_arn
        with self._transaction() as connection:
            connection.execute("DELETE FROM targets WHERE seen_seconds < ?", (int(now - kept_seconds),))
            targets = [(group, arn, int(now)) for arn in attribution.serving_arns]
            connection.executemany("INSERT OR REPLACE INTO targets VALUES (?, ?, ?)", targets)
            rows = connection.execute("SELECT arn FROM targets WHERE dataset_group_arn = ? ORDER BY arn", (group,))
            return [row[0] for row in rows]

    def keys(self) -> set[str]:
        """Return the keys of all attributions that something is kept of."""
        with self._lock:
            return {row[0] for row in self._connection.execute("SELECT attribution FROM reports")}

    def begin_report(self, key: str, *, boundary: int) -> Report | None:
        """Return the report of an attribution that is to be written; None when there is none.

        It is one that was sealed before and is not written yet, or all that was counted, if that began before the
        boundary.

        Args:
            key: Of the attribution.
            boundary: The last moment at which reports end, in seconds since 1970.
        """
        with self._transaction() as connection:
            (report_id,) = connection.execute("SELECT max(report) FROM sums WHERE attribution = ?", (key,)).fetchone()
            if not report_id:
                row = connection.execute("SELECT open_since FROM reports WHERE attribution = ?", (key,)).fetchone()
                if row is None or row[0] is None or row[0] >= boundary:
                    return None
                (last,) = connection.execute("SELECT max(sealed_at) FROM reports").fetchone()
                report_id = max(boundary, last + 1)
                connection.execute(
                    "UPDATE reports SET open_since = NULL, sealed_at = ? WHERE attribution = ?", (report_id, key)
                )
                connection.execute("UPDATE sums SET report = ? WHERE attribution = ? AND report = 0", (report_id, key))
            rows = connection.execute(
                "SELECT window_seconds, metric, event_type, function, source, value FROM sums "
                "WHERE attribution = ? AND report = ?",
                (key, report_id),
            ).fetchall()
        sums = [
            (SumKey(window, metric, event_type, MathFunction(function), source), value)
            for window, metric, event_type, function, source, value in rows
        ]
        return Report(key, report_id, sorted(sums))

    def written(self, report: Report) -> None:
        """Forget a report that was written."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM sums WHERE attribution = ? AND report = ?", (report.attribution, report.sealed_at)
            )

    def forget(self, keys: Collection[str]) -> None:
        """Remove all that is kept of attributions."""
        with self._transaction() as connection:
            for table in ("sums", "totals", "reports"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE attribution = ?",  # noqa: S608 - the names stand above
                    [(key,) for key in keys],
                )

    def forget_tables(self, *, kept: Collection[str]) -> None:
        """Remove the cursors of tables that the log has nothing of."""
        with self._transaction() as connection:
            locations = {row[0] for row in connection.execute("SELECT location FROM cursors")}
            gone = [(location,) for location in locations - set(kept)]
            connection.executemany("DELETE FROM cursors WHERE location = ?", gone)

    def totals(self) -> list[Total]:
        """Return what all metrics came to."""
        query = "SELECT dataset_group_arn, metric, event_type, function, source, value FROM totals"
        with self._lock:
            rows = self._connection.execute(query).fetchall()
        return [
            Total(group, metric, event_type, MathFunction(function), source, value)
            for group, metric, event_type, function, source, value in rows
        ]

    def _prepare(self, end: Position) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit is on disk before the log's copy of the cursor moves on.
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} INSERT INTO baseline VALUES ({end.epoch:d}, {end.offset:d}); "  # noqa: S608 - numbers
                f"PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version == 1:
            connection.executescript(f"BEGIN IMMEDIATE; {_FROM_VERSION_1} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"got version {version}, want {_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _move(connection: sqlite3.Connection, location: str, position: Position) -> None:
    connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (location, position.epoch, position.offset))
