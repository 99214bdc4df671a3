"""Records in a replica and the messages of the stream that have them: appending, and removing single ones.

A message has several records, and JetStream can erase it as a whole only. So another message with the records that are
left takes its place first. A call that is cut off between the two leaves a note of what is still to be erased.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = [
    "MESSAGES_SCHEMA", "MESSAGES_TABLES", "advance", "append_records", "forget_messages", "forget_replaced",
    "old_messages", "record_messages", "replace_records", "replaced_messages", "replacements",
]  # fmt: skip

MESSAGES_SCHEMA: Final = """
-- The messages with records, which are purged when the last of them is old.
CREATE TABLE IF NOT EXISTS replica_messages (
    sequence INTEGER PRIMARY KEY,
    location TEXT NOT NULL,
    last_offset INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS replica_messages_by_table ON replica_messages (location, last_offset);
-- The messages whose place another one has taken, and that may still be in the stream.
CREATE TABLE IF NOT EXISTS replica_replaced (sequence INTEGER PRIMARY KEY) STRICT;
"""
MESSAGES_TABLES: Final = ("replica_messages", "replica_replaced")
#: Overwrites nothing: of a replica that has the replaced message's records, those that are left stay as they are.
_INSERT: Final = (
    'INSERT OR {} INTO records ("offset", table_id, appended_at_millis, kind, tracking_id, record_id, payload) '
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def append_records(connection: sqlite3.Connection, sequence: int, message: log_stream_pb2.LogRecordsAppended) -> None:
    """Apply a message with new records."""
    _insert(connection, message.location, message.records, millis=message.appended_at_millis, otherwise="ABORT")
    connection.execute(
        "INSERT INTO replica_messages VALUES (?, ?, ?)", (sequence, message.location, message.records[-1].offset)
    )


def replace_records(connection: sqlite3.Connection, sequence: int, message: log_stream_pb2.LogRecordsReplaced) -> None:
    """Apply a message that takes the place of another, whether that was applied or is erased already."""
    connection.executemany('DELETE FROM records WHERE "offset" = ?', [(offset,) for offset in message.removed_offsets])
    _insert(connection, message.location, message.records, millis=0, otherwise="IGNORE")
    connection.execute("DELETE FROM replica_messages WHERE sequence = ?", (message.replaced_sequence,))
    connection.execute(
        "INSERT INTO replica_messages VALUES (?, ?, ?)", (sequence, message.location, message.last_offset)
    )
    connection.execute("INSERT INTO replica_replaced VALUES (?)", (message.replaced_sequence,))
    advance(connection, message.last_offset)


def replacements(
    connection: sqlite3.Connection, location: str, offsets: Iterable[int], *, limit: int
) -> Iterator[log_stream_pb2.LogRecordsReplaced]:
    """Yield the messages that take the places of those with some of a table's records, a limited number.

    Args:
        connection: Reads the state that the messages will follow.
        location: The table's.
        offsets: Of the records that go; those that the table does not have are passed over.
        limit: Messages at most.
    """
    chosen = set(offsets)
    done_to, count = 0, 0
    for offset in sorted(chosen):
        if offset <= done_to or count >= limit:
            continue
        place = connection.execute(
            "SELECT sequence, last_offset FROM replica_messages WHERE location = ? AND last_offset >= ? "
            "ORDER BY last_offset LIMIT 1",
            (location, offset),
        ).fetchone()
        if place is None:
            return
        sequence, done_to = place
        message = log_stream_pb2.LogRecordsReplaced(replaced_sequence=sequence, location=location, last_offset=done_to)
        for record in _records_of_message(connection, location, last_offset=done_to):
            if record.offset in chosen:
                message.removed_offsets.append(record.offset)
            else:
                message.records.append(record)
        if message.removed_offsets:
            count += 1
            yield message


def replaced_messages(connection: sqlite3.Connection) -> list[int]:
    """Return sequences of messages whose place another one has taken, and that may still be in the stream."""
    return [sequence for (sequence,) in connection.execute("SELECT sequence FROM replica_replaced ORDER BY 1")]


def forget_replaced(connection: sqlite3.Connection) -> None:
    """Note that all messages whose place another one has taken are erased."""
    connection.execute("DELETE FROM replica_replaced")


def record_messages(connection: sqlite3.Connection, location: str) -> list[int]:
    """Return the sequences of the messages with records of a table."""
    rows = connection.execute("SELECT sequence FROM replica_messages WHERE location = ? ORDER BY 1", (location,))
    return [sequence for (sequence,) in rows]


def old_messages(connection: sqlite3.Connection, *, limit: int) -> list[int]:
    """Return sequences of messages whose records are all removed."""
    rows = connection.execute(
        "SELECT m.sequence FROM tables t JOIN replica_messages m ON m.location = t.location "
        "AND m.last_offset <= t.removed_offset ORDER BY 1 LIMIT ?",
        (limit,),
    )
    return [sequence for (sequence,) in rows]


def forget_messages(connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
    """Note that messages with records were removed from the stream."""
    connection.executemany("DELETE FROM replica_messages WHERE sequence = ?", [(item,) for item in sequences])


def advance(connection: sqlite3.Connection, offset: int) -> None:
    """Note that all offsets up to this one were given."""
    changed = connection.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'records'", (offset,)
    ).rowcount
    if not changed:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('records', ?)", (offset,))


def _records_of_message(
    connection: sqlite3.Connection, location: str, *, last_offset: int
) -> Iterator[log_stream_pb2.LogRecord]:
    """Yield the records that a message has by now: those behind the table's message before it."""
    (after,) = connection.execute(
        "SELECT coalesce(max(last_offset), 0) FROM replica_messages WHERE location = ? AND last_offset < ?",
        (location, last_offset),
    ).fetchone()
    rows = connection.execute(
        'SELECT "offset", kind, tracking_id, record_id, payload, appended_at_millis FROM records '
        'WHERE table_id = (SELECT id FROM tables WHERE location = ?) AND "offset" > ? AND "offset" <= ? '
        'ORDER BY "offset"',
        (location, after, last_offset),
    )
    for offset, kind, tracking_id, record_id, payload, millis in rows:
        yield log_stream_pb2.LogRecord(
            offset=offset,
            kind=kind,
            tracking_id=tracking_id,
            record_id=record_id,
            payload=payload,
            appended_at_millis=millis,
        )


def _insert(
    connection: sqlite3.Connection,
    location: str,
    records: Iterable[log_stream_pb2.LogRecord],
    *,
    millis: int,
    otherwise: str,
) -> None:
    table_id, removed_offset = connection.execute(
        "SELECT id, removed_offset FROM tables WHERE location = ?", (location,)
    ).fetchone()
    connection.executemany(
        _INSERT.format(otherwise),
        (
            (
                record.offset,
                table_id,
                record.appended_at_millis if record.HasField("appended_at_millis") else millis,
                record.kind,
                record.tracking_id,
                record.record_id if record.HasField("record_id") else None,
                record.payload,
            )
            for record in records
            if record.offset > removed_offset
        ),
    )
