"""The SQL of the log. Each function runs inside a transaction of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from common.positions import Epoch, Lineage
from events_service.log import Bounds, Divergence, LogEntry, LoggedEvent, LogPage, LogRemoval, LogTable, TableLag
from events_service.log._schema import EVENT_COLUMNS, INSERT_EVENT, event_values, logged_event

__all__ = [
    "append", "bounds", "end", "end_table", "lineage", "mark_diverged", "newest_millis", "page",
    "remove_committed", "remove_table_events", "table_events", "table_lags", "tidy",
]  # fmt: skip

#: Epochs that are kept although the log has no event of theirs any more: artifacts may have been trained on them.
_KEPT_EPOCHS: Final = 1000
_KEPT_REMOVALS: Final = 10_000


def append(
    connection: sqlite3.Connection, *, entries: Sequence[LogEntry], epoch: int, now_millis: int
) -> tuple[int, ...]:
    """Add events that are not there yet; return the offset of each."""
    _begin_epoch(connection, epoch)
    ids = {table: _table_id(connection, table) for table in {entry.table for entry in entries}}
    offsets = []
    for entry in entries:
        # Looked up first: an insertion that violates the unique index would use up an offset.
        offset_rows = connection.execute(
            'SELECT "offset" FROM events WHERE table_id = ? AND tracking_id = ? AND event_id = ?',
            (ids[entry.table], entry.tracking_id, entry.event.event_id),
        ).fetchall()
        if not offset_rows:
            values = event_values(entry, table_id=ids[entry.table], appended_at_millis=now_millis)
            offset_rows = connection.execute(INSERT_EVENT, values).fetchall()
        offsets.append(int(offset_rows[0][0]))
    return tuple(offsets)


def page(connection: sqlite3.Connection, from_offset: int, *, max_events: int) -> LogPage:
    """Return a page of the log from an offset on, which may be empty."""
    events = _events(connection, 'e."offset" >= ?', (from_offset,), max_events)
    next_offset = events[-1].offset + 1 if len(events) == max_events else end(connection)
    removals = connection.execute(
        'SELECT * FROM removals WHERE "offset" >= ? AND "offset" < ? ORDER BY "offset"', (from_offset, next_offset)
    )
    return LogPage(events, [LogRemoval(*row) for row in removals], next_offset, lineage(connection))


def table_events(connection: sqlite3.Connection, location: str, *, after: int, max_events: int) -> list[LoggedEvent]:
    """Return a table's events after an offset."""
    where = 'e.table_id = (SELECT id FROM tables WHERE location = ?) AND e."offset" > ?'
    return _events(connection, where, (location, after), max_events)


def lineage(connection: sqlite3.Connection) -> Lineage:
    """Return the epochs of the log."""
    rows = connection.execute("SELECT epoch, first_offset FROM epochs ORDER BY first_offset")
    return Lineage(Epoch(*row) for row in rows)


def bounds(connection: sqlite3.Connection) -> Bounds:
    """Return which offsets can be read."""
    return Bounds(int(connection.execute("SELECT first_offset FROM state").fetchone()[0]), end(connection))


def end(connection: sqlite3.Connection) -> int:
    """Return the next offset that will be given."""
    sequence = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 1 + (int(sequence[0]) if sequence else 0)


def newest_millis(connection: sqlite3.Connection) -> int | None:
    """Return the newest time that the log's clock is known to have given; None for a new log."""
    kept = connection.execute("SELECT clock_millis FROM state").fetchone()
    newest = connection.execute('SELECT appended_at_millis FROM events ORDER BY "offset" DESC LIMIT 1').fetchone()
    return max((int(row[0]) for row in (kept, newest) if row and row[0] is not None), default=None)


def table_lags(connection: sqlite3.Connection, *, location: str | None = None) -> list[TableLag]:
    """Return the tables with events that are not committed yet, all of them or the one at a location."""
    rows = connection.execute(
        'SELECT t.location, t.dataset_group_arn, t.schema, e.tracking_id, t.sealed_offset, e."offset", '
        "t.diverged_after, t.diverged_until "
        'FROM tables t JOIN events e ON e."offset" = (SELECT max("offset") FROM events WHERE table_id = t.id) '
        'WHERE e."offset" > t.sealed_offset AND coalesce(t.location = ?, 1) ORDER BY t.id',
        (location,),
    )
    return [_table_lag(*row) for row in rows]


def mark_diverged(connection: sqlite3.Connection, *, location: str, divergence: Divergence, now_millis: int) -> None:
    """Note rows of another log in a table, together with those that were noted before."""
    connection.execute(
        "UPDATE tables SET diverged_after = min(coalesce(diverged_after, ?1), ?1), "
        "diverged_until = max(coalesce(diverged_until, ?2), ?2), diverged_at_millis = ?3 WHERE location = ?4",
        (divergence.after, divergence.until, now_millis, location),
    )


def remove_table_events(connection: sqlite3.Connection, *, location: str, limit: int) -> int:
    """Remove at most `limit` events of a table; return how many."""
    return connection.execute(
        'DELETE FROM events WHERE "offset" IN (SELECT "offset" FROM events WHERE table_id = '
        "(SELECT id FROM tables WHERE location = ?) LIMIT ?)",
        (location, limit),
    ).rowcount


def end_table(connection: sqlite3.Connection, *, location: str, epoch: int) -> bool:
    """Log the end of a table, unless it does not exist or has events again; return whether it was logged."""
    row = connection.execute(
        "SELECT id, dataset_group_arn FROM tables t WHERE location = ? "
        "AND NOT EXISTS (SELECT 1 FROM events WHERE table_id = t.id)",
        (location,),
    ).fetchone()
    if row is None:
        return False
    identifier, dataset_group_arn = row
    _begin_epoch(connection, epoch)
    offset = end(connection)
    first_of_group = connection.execute(
        'SELECT min((SELECT min("offset") FROM events WHERE table_id = t.id)) FROM tables t '
        "WHERE dataset_group_arn = ?",
        (dataset_group_arn,),
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO removals VALUES (?, ?, ?)",
        (offset, dataset_group_arn, offset - 1 if first_of_group is None else first_of_group - 1),
    )
    connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'", (offset,))
    connection.execute("DELETE FROM tables WHERE id = ?", (identifier,))
    return True


def remove_committed(connection: sqlite3.Connection, *, before_millis: int, limit: int) -> int:
    """Remove committed events that were appended before a time, at most `limit`; return how many."""
    removed = 0
    for identifier, committed_offset in connection.execute("SELECT id, sealed_offset FROM tables").fetchall():
        if removed < limit:
            removed += connection.execute(
                'DELETE FROM events WHERE "offset" IN (SELECT "offset" FROM events '
                'WHERE table_id = ? AND appended_at_millis < ? AND "offset" <= ? LIMIT ?)',
                (identifier, before_millis, committed_offset, limit - removed),
            ).rowcount
    return removed


def tidy(connection: sqlite3.Connection, *, before_millis: int, now_millis: int) -> None:
    """Store the log's first offset and time after a removal of old events, and drop what belonged to those events."""
    first = connection.execute('SELECT min("offset") FROM events').fetchone()[0]
    first = end(connection) if first is None else int(first)
    connection.execute("UPDATE state SET first_offset = max(first_offset, ?), clock_millis = ?", (first, now_millis))
    connection.execute(
        "UPDATE tables SET diverged_after = NULL, diverged_until = NULL, diverged_at_millis = NULL "
        "WHERE diverged_at_millis < ?",
        (before_millis,),
    )
    connection.execute(
        "DELETE FROM epochs WHERE first_offset < coalesce((SELECT max(first_offset) FROM epochs WHERE first_offset <= ?"
        "), 0) AND first_offset NOT IN (SELECT first_offset FROM epochs ORDER BY first_offset DESC LIMIT ?)",
        (first, _KEPT_EPOCHS),
    )
    connection.execute(
        'DELETE FROM removals WHERE "offset" NOT IN (SELECT "offset" FROM removals ORDER BY "offset" DESC LIMIT ?)',
        (_KEPT_REMOVALS,),
    )


def _begin_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    newest = connection.execute("SELECT epoch FROM epochs ORDER BY first_offset DESC LIMIT 1").fetchone()
    if newest is None or newest[0] != epoch:
        # An epoch in which nothing was appended is replaced by this one.
        connection.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?)", (end(connection), epoch))


def _table_id(connection: sqlite3.Connection, table: LogTable) -> int:
    row = connection.execute("SELECT id FROM tables WHERE location = ?", (table.location,)).fetchone()
    if row is not None:
        return int(row[0])
    insert = "INSERT INTO tables (location, dataset_group_arn, schema) VALUES (?, ?, ?) RETURNING id"
    values = (table.location, table.dataset_group_arn, table.schema)
    return int(connection.execute(insert, values).fetchall()[0][0])


def _events(connection: sqlite3.Connection, where: str, values: tuple[Any, ...], limit: int) -> list[LoggedEvent]:
    statement = (
        f"SELECT {EVENT_COLUMNS} FROM events e JOIN tables t ON t.id = e.table_id "  # noqa: S608 - constants only
        f'WHERE {where} ORDER BY e."offset" LIMIT ?'
    )
    return [logged_event(row) for row in connection.execute(statement, (*values, limit))]


def _table_lag(
    location: str,
    dataset_group_arn: str,
    schema: str,
    tracking_id: str,
    committed_offset: int,
    last_offset: int,
    after: int | None,
    until: int | None,
) -> TableLag:
    divergence = None if after is None or until is None else Divergence(after, until)
    return TableLag(
        LogTable(location, dataset_group_arn, schema), tracking_id, committed_offset, last_offset, divergence
    )
