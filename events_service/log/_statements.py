"""The SQL of the log. Each function runs inside a transaction of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, Final, cast

from common.positions import Epoch, Lineage
from events_service.log import (
    Bounds,
    Divergence,
    LogEntry,
    LoggedRecord,
    LogPage,
    LogRemoval,
    LogTable,
    TableLag,
    UserRemoval,
    is_wider,
)
from events_service.log._schema import (
    LOOKED_UP_AT_ONCE,
    RECORD_COLUMNS,
    insert_records,
    logged_record,
    record_values,
    select_offsets,
)

__all__ = [
    "append",
    "append_user_removal",
    "begin_after",
    "bounds",
    "define_table",
    "end",
    "end_table",
    "extent",
    "lags",
    "lineage",
    "mark_consumed",
    "mark_diverged",
    "newest_millis",
    "page",
    "record_offset",
    "removal_bound",
    "remove_consumed",
    "remove_records",
    "remove_table_records",
    "table_records",
    "tidy",
]

#: Epochs that are kept although the log has no record of theirs any more: artifacts may have been trained on them.
_KEPT_EPOCHS: Final = 1000
_KEPT_REMOVALS: Final = 10_000
#: Bytes at which a page of records ends early: a record may have 128 KB, where most have less than one.
_PAGE_BYTES: Final = 16 * 1024 * 1024
#: Records of one statement; SQLite takes 32,766 parameters.
_INSERTED_AT_ONCE: Final = 500


def append(
    connection: sqlite3.Connection, *, calls: Sequence[Sequence[LogEntry]], epoch: int, now_millis: int
) -> list[tuple[int, ...]]:
    """Add the records of several calls, as far as they are not there yet; return the offsets of each call's."""
    _begin_epoch(connection, epoch)
    # Calls of before and after a change of a schema may stand side by side; the widest one holds, whatever their order.
    tables = dict.fromkeys(entry.table for call in calls for entry in call)
    ids = {table.location: define_table(connection, table) for table in tables}
    keys = [
        [
            # Records without an id are all different.
            (
                ids[entry.table.location],
                entry.tracking_id,
                (number, place) if entry.record_id is None else entry.record_id,
            )
            for place, entry in enumerate(call)
        ]
        for number, call in enumerate(calls)
    ]
    # Looked up first: an insertion that violates the unique index would use up an offset.
    offsets = _known_offsets(connection, chain.from_iterable(keys))
    new: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for call, of_call in zip(calls, keys, strict=True):
        for entry, key in zip(call, of_call, strict=True):
            if key not in offsets and key not in new:
                new[key] = record_values(entry, table_id=key[0], appended_at_millis=now_millis)
    for start in range(0, len(new), _INSERTED_AT_ONCE):
        part = list(islice(new.items(), start, start + _INSERTED_AT_ONCE))
        cursor = connection.execute(insert_records(len(part)), list(chain.from_iterable(values for _, values in part)))
        # Nobody else writes meanwhile, so they got consecutive offsets.
        first = cast("int", cursor.lastrowid) - len(part) + 1
        offsets.update((key, first + place) for place, (key, _) in enumerate(part))
    return [tuple(offsets[key] for key in of_call) for of_call in keys]


def _known_offsets(connection: sqlite3.Connection, keys: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """Return the offsets of those records, by number of the table, tracker and id, that the log has."""
    ids_by_tracker: dict[tuple[int, str], list[str]] = {}
    for table_id, tracking_id, record_id in keys:
        if isinstance(record_id, str):
            ids_by_tracker.setdefault((table_id, tracking_id), []).append(record_id)
    offsets: dict[tuple[Any, ...], int] = {}
    for (table_id, tracking_id), record_ids in ids_by_tracker.items():
        for start in range(0, len(record_ids), LOOKED_UP_AT_ONCE):
            part = record_ids[start : start + LOOKED_UP_AT_ONCE]
            statement, size = select_offsets(len(part))
            padding = part[-1:] * (size - len(part))
            rows = connection.execute(statement, (table_id, tracking_id, *part, *padding))
            offsets.update(((table_id, tracking_id, record_id), offset) for record_id, offset in rows)
    return offsets


def record_offset(connection: sqlite3.Connection, entry: LogEntry) -> int | None:
    """Return the offset of the record with an entry's id; None where there is none, or the entry has no id."""
    row = connection.execute(
        'SELECT "offset" FROM records WHERE table_id = (SELECT id FROM tables WHERE location = ?) '
        "AND tracking_id = ? AND record_id = ?",
        (entry.table.location, entry.tracking_id, entry.record_id),
    ).fetchone()
    return None if row is None else int(row[0])


def page(connection: sqlite3.Connection, from_offset: int, *, max_records: int) -> LogPage:
    """Return a page of the log from an offset on, which may be empty."""
    records, are_all = _records(connection, 'r."offset" >= ?', (from_offset,), max_records)
    next_offset = end(connection) if are_all else records[-1].offset + 1
    removals = connection.execute(
        'SELECT "offset", dataset_group_arn, dataset_type, up_to_offset FROM removals '
        'WHERE "offset" >= ? AND "offset" < ? ORDER BY "offset"',
        (from_offset, next_offset),
    )
    user_removals = connection.execute(
        'SELECT "offset", dataset_group_arn, location, up_to_offset FROM user_removals '
        'WHERE "offset" >= ? AND "offset" < ? ORDER BY "offset"',
        (from_offset, next_offset),
    )
    return LogPage(
        records,
        [LogRemoval(*row) for row in removals],
        next_offset,
        lineage(connection),
        [UserRemoval(*row) for row in user_removals],
    )


def table_records(connection: sqlite3.Connection, location: str, *, after: int, max_records: int) -> list[LoggedRecord]:
    """Return a table's records after an offset."""
    where = 'r.table_id = (SELECT id FROM tables WHERE location = ?) AND r."offset" > ?'
    return _records(connection, where, (location, after), max_records)[0]


def lineage(connection: sqlite3.Connection) -> Lineage:
    """Return the epochs of the log."""
    rows = connection.execute("SELECT epoch, first_offset FROM epochs ORDER BY first_offset")
    return Lineage(Epoch(*row) for row in rows)


def bounds(connection: sqlite3.Connection) -> Bounds:
    """Return which offsets can be read."""
    return Bounds(int(connection.execute("SELECT first_offset FROM state").fetchone()[0]), end(connection))


def end(connection: sqlite3.Connection) -> int:
    """Return the next offset that will be given."""
    sequence = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    return 1 + (int(sequence[0]) if sequence else 0)


def extent(connection: sqlite3.Connection) -> tuple[int, int | None]:
    """Return how many records there are at most, and when the oldest was appended; None without any.

    By offsets: counting would read an entry of an index for each.
    """
    oldest = connection.execute('SELECT "offset", appended_at_millis FROM records ORDER BY "offset" LIMIT 1').fetchone()
    if oldest is None:
        return 0, None
    newest = connection.execute('SELECT max("offset") FROM records').fetchone()
    return newest[0] - oldest[0] + 1, oldest[1]


def newest_millis(connection: sqlite3.Connection) -> int | None:
    """Return the newest time that the log's clock is known to have given; None for a new log."""
    kept = connection.execute("SELECT clock_millis FROM state").fetchone()
    newest = connection.execute('SELECT appended_at_millis FROM records ORDER BY "offset" DESC LIMIT 1').fetchone()
    return max((int(row[0]) for row in (kept, newest) if row and row[0] is not None), default=None)


def lags(connection: sqlite3.Connection, consumer: str, *, location: str | None = None) -> list[TableLag]:
    """Return the tables with records that a consumer has not consumed, all of them or the one at a location."""
    rows = connection.execute(
        'SELECT t.location, t.dataset_group_arn, t.schema, t.dataset_type, coalesce(c."offset", 0) AS consumed, '
        't.last, t.diverged_after, t.diverged_until, t.removed_offset FROM (SELECT *, (SELECT max("offset") '
        "FROM records WHERE table_id = tables.id) AS last FROM tables) t "
        "LEFT JOIN cursors c ON c.table_id = t.id AND c.consumer = ? "
        "WHERE t.last > consumed AND coalesce(t.location = ?, 1) ORDER BY t.id",
        (consumer, location),
    )
    return [_table_lag(*row) for row in rows]


def mark_consumed(connection: sqlite3.Connection, *, consumer: str, location: str, offset: int) -> None:
    """Set a consumer's cursor; a table that is not in the log has none."""
    connection.execute(
        "INSERT INTO cursors SELECT ?, id, ? FROM tables WHERE location = ? "
        'ON CONFLICT (consumer, table_id) DO UPDATE SET "offset" = excluded."offset"',
        (consumer, offset, location),
    )


def mark_diverged(connection: sqlite3.Connection, *, location: str, divergence: Divergence, now_millis: int) -> None:
    """Note rows of another log in a table, together with those that were noted before."""
    connection.execute(
        "UPDATE tables SET diverged_after = min(coalesce(diverged_after, ?1), ?1), "
        "diverged_until = max(coalesce(diverged_until, ?2), ?2), diverged_at_millis = ?3 WHERE location = ?4",
        (divergence.after, divergence.until, now_millis, location),
    )


def remove_table_records(connection: sqlite3.Connection, *, location: str, limit: int) -> int:
    """Remove at most `limit` records of a table; return how many."""
    return connection.execute(
        'DELETE FROM records WHERE "offset" IN (SELECT "offset" FROM records WHERE table_id = '
        "(SELECT id FROM tables WHERE location = ?) LIMIT ?)",
        (location, limit),
    ).rowcount


def remove_records(connection: sqlite3.Connection, *, location: str, offsets: Sequence[int]) -> int:
    """Remove some of a table's records; return how many there were."""
    removed = connection.executemany(
        'DELETE FROM records WHERE "offset" = ? AND table_id = (SELECT id FROM tables WHERE location = ?)',
        [(offset, location) for offset in offsets],
    ).rowcount
    return max(removed, 0)


def append_user_removal(
    connection: sqlite3.Connection, *, dataset_group_arn: str, location: str, up_to_offset: int, epoch: int
) -> int:
    """Log the deletion of users, unless it is logged already; return its offset."""
    logged = connection.execute('SELECT "offset" FROM user_removals WHERE location = ?', (location,)).fetchone()
    if logged is not None:
        return int(logged[0])
    _begin_epoch(connection, epoch)
    offset = end(connection)
    connection.execute(
        "INSERT INTO user_removals VALUES (?, ?, ?, ?)", (offset, dataset_group_arn, location, up_to_offset)
    )
    _use_offset(connection, offset)
    return offset


def begin_after(connection: sqlite3.Connection, *, offset: int, epoch: int) -> None:
    """Leave out all offsets up to this one that were not given yet."""
    if offset >= end(connection):
        # Before: the epoch of another opening must end where its records do.
        _begin_epoch(connection, epoch)
        _use_offset(connection, offset)


def end_table(connection: sqlite3.Connection, *, location: str, epoch: int) -> bool:
    """Log the end of a table, unless it does not exist or has records again; return whether it was logged."""
    row = connection.execute(
        "SELECT id, dataset_group_arn, dataset_type FROM tables t WHERE location = ? "
        "AND NOT EXISTS (SELECT 1 FROM records WHERE table_id = t.id)",
        (location,),
    ).fetchone()
    if row is None:
        return False
    identifier, dataset_group_arn, dataset_type = row
    _begin_epoch(connection, epoch)
    offset = end(connection)
    up_to_offset = removal_bound(connection, dataset_group_arn, dataset_type, offset)
    connection.execute(
        "INSERT INTO removals VALUES (?, ?, ?, ?)", (offset, dataset_group_arn, dataset_type, up_to_offset)
    )
    _use_offset(connection, offset)
    connection.execute("DELETE FROM cursors WHERE table_id = ?", (identifier,))
    connection.execute("DELETE FROM tables WHERE id = ?", (identifier,))
    return True


def removal_bound(
    connection: sqlite3.Connection, dataset_group_arn: str, dataset_type: str, offset: int, *, without: str = ""
) -> int:
    """Return up to which offset a group's records of a type were in the table that ends at an offset.

    Args:
        connection: To the log.
        dataset_group_arn: The group.
        dataset_type: The type of the table's dataset.
        offset: That of the removal.
        without: Location of the table that ends, where it still has its records.
    """
    first_of_next = connection.execute(
        'SELECT min((SELECT min("offset") FROM records WHERE table_id = t.id)) FROM tables t '
        "WHERE dataset_group_arn = ? AND dataset_type = ? AND location <> ?",
        (dataset_group_arn, dataset_type, without),
    ).fetchone()[0]
    return offset - 1 if first_of_next is None else int(first_of_next) - 1


def remove_consumed(connection: sqlite3.Connection, *, kept_for: Sequence[str], before_millis: int, limit: int) -> int:
    """Remove records that were appended before a time and that all these consumers have, at most `limit`.

    Returns:
        How many were removed.
    """
    consumers = ", ".join("?" * len(kept_for))
    tables = connection.execute(
        f'SELECT table_id, min("offset"), count(*) FROM cursors WHERE consumer IN ({consumers}) '  # noqa: S608 - question marks
        "GROUP BY table_id",
        tuple(kept_for),
    ).fetchall()
    removed = 0
    for table_id, consumed, cursors in tables:
        if removed >= limit or cursors < len(kept_for):
            continue
        gone = connection.execute(
            'DELETE FROM records WHERE "offset" IN (SELECT "offset" FROM records '
            'WHERE table_id = ? AND appended_at_millis < ? AND "offset" <= ? LIMIT ?) RETURNING "offset"',
            (table_id, before_millis, consumed, limit - removed),
        ).fetchall()
        removed += len(gone)
        if gone:
            newest = max(offset for (offset,) in gone)
            connection.execute(
                "UPDATE tables SET removed_offset = max(removed_offset, ?) WHERE id = ?", (newest, table_id)
            )
    return removed


def tidy(
    connection: sqlite3.Connection, *, before_millis: int, now_millis: int, first_offset: int | None = None
) -> None:
    """Store the log's first offset and time after a removal of old records, and drop what belonged to them.

    Args:
        connection: To the log.
        before_millis: What belonged to records from before this time is dropped.
        now_millis: The log's clock.
        first_offset: The log's first offset; None for that of its first record.
    """
    first = first_offset
    if first is None:
        kept = connection.execute('SELECT min("offset") FROM records').fetchone()[0]
        first = end(connection) if kept is None else int(kept)
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
    connection.execute(
        'DELETE FROM user_removals WHERE "offset" NOT IN '
        '(SELECT "offset" FROM user_removals ORDER BY "offset" DESC LIMIT ?)',
        (_KEPT_REMOVALS,),
    )


def _begin_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    newest = connection.execute("SELECT epoch FROM epochs ORDER BY first_offset DESC LIMIT 1").fetchone()
    if newest is None or newest[0] != epoch:
        # An epoch in which nothing was appended is replaced by this one.
        connection.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?)", (end(connection), epoch))


def _use_offset(connection: sqlite3.Connection, offset: int) -> None:
    """Take an offset for something that is no record."""
    if not connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'records'", (offset,)).rowcount:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('records', ?)", (offset,))


def define_table(connection: sqlite3.Connection, table: LogTable) -> int:
    """Return the number of a table, which is made when there is none; its schema may have got wider."""
    row = connection.execute("SELECT id, schema FROM tables WHERE location = ?", (table.location,)).fetchone()
    if row is not None:
        if is_wider(table.schema, row[1]):
            connection.execute("UPDATE tables SET schema = ? WHERE id = ?", (table.schema, row[0]))
        return int(row[0])
    insert = "INSERT INTO tables (location, dataset_group_arn, dataset_type, schema) VALUES (?, ?, ?, ?) RETURNING id"
    values = (table.location, table.dataset_group_arn, table.dataset_type, table.schema)
    return int(connection.execute(insert, values).fetchall()[0][0])


def _records(
    connection: sqlite3.Connection, where: str, values: tuple[Any, ...], limit: int
) -> tuple[list[LoggedRecord], bool]:
    """Return the first records that fulfil a condition, and whether those are all."""
    statement = (
        f"SELECT {RECORD_COLUMNS} FROM records r JOIN tables t ON t.id = r.table_id "  # noqa: S608 - constants only
        f'WHERE {where} ORDER BY r."offset" LIMIT ?'
    )
    records: list[LoggedRecord] = []
    size = 0
    for row in connection.execute(statement, (*values, limit)):
        records.append(logged_record(row))
        size += len(records[-1].payload)
        if size >= _PAGE_BYTES:
            return records, False
    return records, len(records) < limit


def _table_lag(
    location: str,
    dataset_group_arn: str,
    schema: str,
    dataset_type: str,
    consumed_offset: int,
    last_offset: int,
    after: int | None,
    until: int | None,
    removed_offset: int,
) -> TableLag:
    return TableLag(
        LogTable(location, dataset_group_arn, schema, dataset_type),
        consumed_offset,
        last_offset,
        None if after is None or until is None else Divergence(after, until),
        removed_offset if removed_offset > consumed_offset else 0,
    )
