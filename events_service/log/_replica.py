"""The state that a stream of changes leads to, in SQLite: what each change does, and which changes a call needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from common.errors import CorruptArtifact, Unavailable
from events_service.log import Divergence, LogEntry, LogTable, is_wider
from events_service.log import _statements as statements
from events_service.log._files import make_private
from events_service.log._message_records import (
    MESSAGES_SCHEMA,
    MESSAGES_TABLES,
    advance,
    append_records,
    forget_replaced,
    replace_records,
)
from events_service.log._schema import open_database, prepare
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = [
    "REPLICA", "REPLICA_SCHEMA", "REPLICA_TABLES", "PlannedAppend", "Replaced", "append_bytes",
    "apply_message", "clear", "old_records", "open_replica", "planned_appends", "require_no_move", "stream_position",
    "table_mark",
]  # fmt: skip

#: Name of the file.
REPLICA: Final = "replica.db"
#: Beside the tables of the log; whoever deletes the file loses nothing.
REPLICA_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS replica (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- When the stream was made: another stream of the same name has another time.
    stream TEXT NOT NULL,
    -- The last message of the stream that was applied.
    sequence INTEGER NOT NULL
) STRICT;
{MESSAGES_SCHEMA}
-- While the log is on its way into the stream, or out of it.
CREATE TABLE IF NOT EXISTS replica_move (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    is_away INTEGER NOT NULL
) STRICT;
"""
#: The tables of this schema.
REPLICA_TABLES: Final = ("replica", *MESSAGES_TABLES, "replica_move")
_CHECKPOINT_PAGES: Final = 1000
#: What a record takes beside its payload and its ids, at most.
_RECORD_OVERHEAD_BYTES: Final = 48
_MESSAGE_OVERHEAD_BYTES: Final = 512


class Replaced(Exception):
    """The stream is not the one that the replica was made from, or not in the same state."""


@dataclass(slots=True)
class PlannedAppend:
    """Appends of one table that become one message.

    Attributes:
        table: The table.
        message: With the records that are new; without any, there is nothing to write.
        calls: The numbers of the calls in it.
        offsets: For each call the offsets of its records.
        size: Upper bound of the message's bytes.
    """

    table: LogTable
    message: log_stream_pb2.LogRecordsAppended
    calls: list[int] = field(default_factory=list)
    offsets: list[tuple[int, ...]] = field(default_factory=list)
    size: int = _MESSAGE_OVERHEAD_BYTES


def open_replica(path: Path) -> sqlite3.Connection:
    """Open the replica; one that cannot be read is made anew, because the stream has everything."""
    for last in (False, True):
        make_private(path)
        connection = open_database(path)
        try:
            prepare(connection, checkpoint_pages=_CHECKPOINT_PAGES)
            # What a loss of power takes away is read from the stream again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(REPLICA_SCHEMA)
        except (CorruptArtifact, sqlite3.DatabaseError):
            connection.close()
            if last:
                raise
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
        else:
            return connection
    raise AssertionError


def stream_position(connection: sqlite3.Connection) -> tuple[str, int]:
    """Return which stream the replica is of, and the last message that was applied; ("", 0) for a new one."""
    row = connection.execute("SELECT stream, sequence FROM replica").fetchone()
    return (row[0], int(row[1])) if row else ("", 0)


def require_no_move(connection: sqlite3.Connection) -> None:
    """Check that the log is in the stream.

    Raises:
        Unavailable: It is on its way into it, or out of it.
    """
    row = connection.execute("SELECT is_away FROM replica_move").fetchone()
    if row is not None and row[0]:
        raise Unavailable(
            "event log: it was moved out of the stream, want the log where `tailorbird log move` has put it; a move "
            "that was cut off is finished by the same command again"
        )
    if row is not None:
        raise Unavailable(
            "event log: it is being moved into the stream, want the end of that; a move that was cut off is finished "
            "by the same command, `tailorbird log move`, again"
        )


def clear(connection: sqlite3.Connection, *, stream: str) -> None:
    """Empty the replica, for a stream that is read from its beginning."""
    for table in (
        *("cursors", "records", "tables", "epochs", "removals", "user_removals", "sqlite_sequence"),
        *REPLICA_TABLES[1:],
    ):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants only
    connection.execute("UPDATE state SET first_offset = 1, clock_millis = NULL")
    connection.execute("INSERT OR REPLACE INTO replica VALUES (1, ?, 0)", (stream,))


def apply_message(
    connection: sqlite3.Connection, sequence: int, message: log_stream_pb2.LogMessage, *, checked: bool
) -> None:
    """Apply a message and note its sequence.

    Args:
        connection: In a transaction.
        sequence: The message's number in the stream.
        message: The change.
        checked: Whether the change must follow from the replica's state; it need not where the beginning of the stream
            was purged.

    Raises:
        Replaced: The message was not written for the replica's state.
    """
    change = message.WhichOneof("change")
    if checked:
        _check(connection, message)
    if change == "epoch_begun":
        connection.execute(
            "INSERT OR REPLACE INTO epochs VALUES (?, ?)", (message.epoch_begun.first_offset, message.epoch)
        )
    elif change == "table_defined":
        table = message.table_defined
        statements.define_table(
            connection, LogTable(table.location, table.dataset_group_arn, table.schema, table.dataset_type)
        )
    elif change == "records_appended":
        append_records(connection, sequence, message.records_appended)
    elif change == "records_replaced":
        replace_records(connection, sequence, message.records_replaced)
    elif change == "cursor_set":
        cursor = message.cursor_set
        statements.mark_consumed(connection, consumer=cursor.consumer, location=cursor.location, offset=cursor.offset)
    elif change is not None and change in _OTHER_CHANGES:
        _OTHER_CHANGES[change](connection, getattr(message, change))
    elif change == "move_ended":
        connection.execute("DELETE FROM replica_move")
    elif change in ("move_begun", "moved_away"):
        connection.execute("INSERT OR REPLACE INTO replica_move VALUES (1, ?)", (change == "moved_away",))
    connection.execute("UPDATE replica SET sequence = ?", (sequence,))


def planned_appends(
    connection: sqlite3.Connection, calls: Sequence[Sequence[LogEntry]], *, now_millis: int, max_bytes: int
) -> list[PlannedAppend]:
    """Return the messages for several calls, in the order in which they must be written.

    Args:
        connection: Reads the state that the messages will follow.
        calls: The records of each call, which are of one table.
        now_millis: The log's clock.
        max_bytes: Size of a message; a call is never divided.
    """
    # Calls of before and after a change of a table's schema go into the same messages: each id once, by the widest one.
    by_location: dict[str, list[int]] = {}
    tables: dict[str, LogTable] = {}
    for number, entries in enumerate(calls):
        table = entries[0].table
        by_location.setdefault(table.location, []).append(number)
        before = tables.setdefault(table.location, table)
        if table is not before and is_wider(table.schema, before.schema):
            tables[table.location] = table
    next_offset = statements.end(connection)
    plans: list[PlannedAppend] = []
    for location, numbers in by_location.items():
        table = tables[location]
        plan: PlannedAppend | None = None
        offsets: dict[tuple[str, str], int] = {}
        for number in numbers:
            size = sum(map(_size, calls[number]))
            if plan is None or plan.size + size > max_bytes:
                message = log_stream_pb2.LogRecordsAppended(location=location, appended_at_millis=now_millis)
                plan = PlannedAppend(table, message)
                plans.append(plan)
            first_offset = next_offset
            plan.calls.append(number)
            given = []
            for entry in calls[number]:
                offset = _known_offset(connection, entry, offsets)
                if offset is None:
                    offset, next_offset = next_offset, next_offset + 1
                    plan.message.records.append(_record(entry, offset))
                    if entry.record_id is not None:
                        offsets[entry.tracking_id, entry.record_id] = offset
                given.append(offset)
            plan.offsets.append(tuple(given))
            plan.size += size if next_offset > first_offset else 0
    return plans


def old_records(
    connection: sqlite3.Connection, *, kept_for: Sequence[str], before_millis: int, limit: int
) -> Iterator[tuple[log_stream_pb2.LogTableMarked, int]]:
    """Yield for each table with old records that all these consumers have: its new mark, and how many records go.

    Records are removed in the order of their offsets: one behind a record that is not old stays with it.
    """
    marks = ", ".join("?" * len(kept_for))
    tables = connection.execute(
        'SELECT t.id, t.location, min(c."offset") FROM tables t JOIN cursors c ON c.table_id = t.id '  # noqa: S608 - question marks
        f"WHERE c.consumer IN ({marks}) GROUP BY t.id HAVING count(*) = ?",
        (*kept_for, len(kept_for)),
    ).fetchall()
    for table_id, location, consumed in tables:
        up_to, removed = connection.execute(
            'SELECT max("offset"), count(*) FROM (SELECT "offset" FROM records WHERE table_id = ?1 AND "offset" <= ?2 '
            'AND "offset" < coalesce((SELECT min("offset") FROM records WHERE table_id = ?1 '
            'AND appended_at_millis >= ?3), ?2 + 1) ORDER BY "offset" LIMIT ?4)',
            (table_id, consumed, before_millis, limit),
        ).fetchone()
        if removed:
            yield table_mark(connection, location, removed_offset=up_to), removed


def table_mark(
    connection: sqlite3.Connection,
    location: str,
    *,
    removed_offset: int = 0,
    divergence: Divergence | None = None,
    now_millis: int = 0,
) -> log_stream_pb2.LogTableMarked:
    """Return the mark of a table with what is added to it; that of an unknown table is empty."""
    mark = log_stream_pb2.LogTableMarked(location=location, removed_offset=removed_offset)
    row = connection.execute(
        "SELECT removed_offset, diverged_after, diverged_until, diverged_at_millis FROM tables WHERE location = ?",
        (location,),
    ).fetchone()
    if row is None:
        return mark
    before, after, until, at_millis = row
    mark.removed_offset = max(removed_offset, before)
    if divergence is not None:
        after = divergence.after if after is None else min(after, divergence.after)
        until = divergence.until if until is None else max(until, divergence.until)
        at_millis = now_millis
    if after is not None:
        mark.diverged_after, mark.diverged_until, mark.diverged_at_millis = after, until, at_millis
    return mark


def append_bytes(entries: Sequence[LogEntry]) -> int:
    """Return an upper bound of the size of the message with the records of one call."""
    return _MESSAGE_OVERHEAD_BYTES + sum(map(_size, entries))


def _check(connection: sqlite3.Connection, message: log_stream_pb2.LogMessage) -> None:
    change, end = message.WhichOneof("change"), statements.end(connection)
    if change == "move_begun":
        follows = end == 1
    elif change in ("move_ended", "moved_away"):
        follows = True  # whoever moves the log has no epoch of it
    elif change == "epoch_begun":
        follows = message.epoch_begun.first_offset >= end
    else:
        follows = message.epoch == statements.lineage(connection).current
    if change == "records_appended":
        follows = follows and message.records_appended.records[0].offset >= end
    if not follows:
        raise Replaced


def _mark(connection: sqlite3.Connection, mark: log_stream_pb2.LogTableMarked) -> None:
    diverged = mark.HasField("diverged_after")
    connection.execute(
        "UPDATE tables SET removed_offset = ?, diverged_after = ?, diverged_until = ?, diverged_at_millis = ? "
        "WHERE location = ?",
        (
            mark.removed_offset,
            mark.diverged_after if diverged else None,
            mark.diverged_until if diverged else None,
            mark.diverged_at_millis if diverged else None,
            mark.location,
        ),
    )
    connection.execute(
        'DELETE FROM records WHERE table_id = (SELECT id FROM tables WHERE location = ?) AND "offset" <= ?',
        (mark.location, mark.removed_offset),
    )


def _remove(connection: sqlite3.Connection, removed: log_stream_pb2.LogTableRemoved) -> None:
    connection.execute(
        "INSERT INTO removals VALUES (?, ?, ?, ?)",
        (removed.offset, removed.dataset_group_arn, removed.dataset_type, removed.up_to_offset),
    )
    of_table = "table_id = (SELECT id FROM tables WHERE location = ?)"
    for table in ("records", "cursors"):
        connection.execute(f"DELETE FROM {table} WHERE {of_table}", (removed.location,))  # noqa: S608 - constants only
    for table in ("tables", "replica_messages"):
        connection.execute(f"DELETE FROM {table} WHERE location = ?", (removed.location,))  # noqa: S608 - constants only
    advance(connection, removed.offset)


def _tidy(connection: sqlite3.Connection, tidied: log_stream_pb2.LogTidied) -> None:
    advance(connection, tidied.end_offset - 1)
    statements.tidy(
        connection,
        before_millis=tidied.before_millis,
        now_millis=tidied.clock_millis,
        first_offset=tidied.first_offset,
    )
    forget_replaced(connection)  # whoever wrote this has erased them before


def _append_user_removal(connection: sqlite3.Connection, removal: log_stream_pb2.LogUserRemovalAppended) -> None:
    connection.execute(
        "INSERT INTO user_removals VALUES (?, ?, ?, ?)",
        (removal.offset, removal.dataset_group_arn, removal.location, removal.up_to_offset),
    )
    advance(connection, removal.offset)


#: Changes that have nothing to do with the number of their message.
_OTHER_CHANGES: Final[Mapping[str, Callable[[sqlite3.Connection, Any], None]]] = {
    "table_marked": _mark,
    "table_removed": _remove,
    "tidied": _tidy,
    "user_removal_appended": _append_user_removal,
}


def _known_offset(connection: sqlite3.Connection, entry: LogEntry, planned: dict[tuple[str, str], int]) -> int | None:
    if entry.record_id is None:
        return None
    first_offset = planned.get((entry.tracking_id, entry.record_id))
    return statements.record_offset(connection, entry) if first_offset is None else first_offset


def _record(entry: LogEntry, offset: int) -> log_stream_pb2.LogRecord:
    return log_stream_pb2.LogRecord(
        offset=offset,
        kind=int(entry.kind),
        tracking_id=entry.tracking_id,
        record_id=entry.record_id,
        payload=entry.payload,
    )


def _size(entry: LogEntry) -> int:
    ids = len(entry.tracking_id.encode()) + len((entry.record_id or "").encode())
    return len(entry.payload) + ids + _RECORD_OVERHEAD_BYTES
