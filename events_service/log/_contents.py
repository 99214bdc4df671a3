"""All that a log's database says, whichever log it is of: as a digest, and as the changes that lead to the same."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from events_service.log import _statements as statements
from events_service.log._stream import Write, digest
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = ["LogContents", "changes_to", "read_contents"]

#: Called with how many records were read.
Progress = Callable[[int], None]
#: A table's mark of what was removed for its age, but less than the first record that is left: two calls may be stamped
#: in another order than they are written, so that one before the mark is removed later.
_REMOVED: Final = (
    'min(removed_offset, coalesce((SELECT min("offset") - 1 FROM records WHERE table_id = tables.id), removed_offset))'
)
#: What is compared beside the records, in an order of its own.
_SECTIONS: Final = {
    "tables": "SELECT location, dataset_group_arn, dataset_type, schema, diverged_after, diverged_until, "  # noqa: S608 - constants only
    f"diverged_at_millis, {_REMOVED} FROM tables ORDER BY location",
    "cursors": 'SELECT c.consumer, t.location, c."offset" FROM cursors c JOIN tables t ON t.id = c.table_id '
    "ORDER BY 1, 2",
    "epochs": "SELECT first_offset, epoch FROM epochs ORDER BY 1",
    "removals": 'SELECT "offset", dataset_group_arn, dataset_type, up_to_offset FROM removals ORDER BY 1',
    "user_removals": 'SELECT "offset", dataset_group_arn, location, up_to_offset FROM user_removals ORDER BY 1',
    "state": "SELECT first_offset, coalesce(clock_millis, 0) FROM state",
}
_RECORDS: Final = (
    'SELECT r."offset", t.location, r.appended_at_millis, r.kind, r.tracking_id, r.record_id, r.payload '
    'FROM records r JOIN tables t ON t.id = r.table_id WHERE r."offset" > ? ORDER BY r."offset" LIMIT ?'
)
#: Records that are grouped by their tables.
_PAGE_RECORDS: Final = 2000
#: Size at which a message is full.
_MESSAGE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogContents:
    """What a log holds.

    Attributes:
        digest: Of everything that readers, writers and consumers can see of the log.
        records: How many there are.
        tables: How many there are.
        end_offset: The next offset.
        epoch: In which the last offset was given.
    """

    digest: str
    records: int
    tables: int
    end_offset: int
    epoch: int


def read_contents(connection: sqlite3.Connection, *, progress: Progress) -> LogContents:
    """Return what a log's database holds; memory does not grow with the log."""
    hashed = hashlib.sha256()
    counts: dict[str, int] = {}
    for name, statement in _SECTIONS.items():
        counts[name] = 0
        for row in connection.execute(statement):
            hashed.update(f"{name}{row!r}".encode())
            counts[name] += 1
    records = 0
    for page in _pages(connection):
        for row in page:
            hashed.update(repr(row).encode())
        records += len(page)
        progress(records)
    end = statements.end(connection)
    hashed.update(f"end{end}".encode())
    return LogContents(
        hashed.hexdigest(), records, counts["tables"], end, statements.lineage(connection).at(end - 1).epoch
    )


def changes_to(connection: sqlite3.Connection) -> Iterator[Write]:
    """Yield the changes by which an empty log becomes that of a database, the same ones each time."""
    current = statements.lineage(connection).current
    for subject, message in _changes(connection):
        if not message.HasField("epoch"):
            message.epoch = current
        yield Write(subject, message)


def _changes(connection: sqlite3.Connection) -> Iterator[tuple[str, log_stream_pb2.LogMessage]]:
    # First, since it drops what a log keeps no longer.
    yield "state", log_stream_pb2.LogMessage(tidied=_tidied(connection))
    for first_offset, epoch in connection.execute(_SECTIONS["epochs"]).fetchall():
        begun = log_stream_pb2.LogEpochBegun(first_offset=first_offset)
        yield "epoch", log_stream_pb2.LogMessage(epoch=epoch, epoch_begun=begun)
    yield from _tables(connection)
    for page in _pages(connection):
        for appended in _messages(page):
            yield f"records.{digest(appended.location)}", log_stream_pb2.LogMessage(records_appended=appended)
    for consumer, location, offset in connection.execute(_SECTIONS["cursors"]).fetchall():
        cursor = log_stream_pb2.LogCursorSet(consumer=consumer, location=location, offset=offset)
        yield f"cursor.{digest(location)}.{digest(consumer)}", log_stream_pb2.LogMessage(cursor_set=cursor)
    for offset, group, kind, up_to in connection.execute(_SECTIONS["removals"]).fetchall():
        removed = log_stream_pb2.LogTableRemoved(
            location="", offset=offset, dataset_group_arn=group, dataset_type=kind, up_to_offset=up_to
        )
        yield "removal", log_stream_pb2.LogMessage(table_removed=removed)
    for offset, group, location, up_to in connection.execute(_SECTIONS["user_removals"]).fetchall():
        noted = log_stream_pb2.LogUserRemovalAppended(
            offset=offset, dataset_group_arn=group, location=location, up_to_offset=up_to
        )
        yield "user_removal", log_stream_pb2.LogMessage(user_removal_appended=noted)


def _tidied(connection: sqlite3.Connection) -> log_stream_pb2.LogTidied:
    first, clock = connection.execute(_SECTIONS["state"]).fetchone()
    return log_stream_pb2.LogTidied(
        first_offset=first, end_offset=statements.end(connection), clock_millis=clock, before_millis=0
    )


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, log_stream_pb2.LogMessage]]:
    rows = connection.execute(
        "SELECT location, dataset_group_arn, dataset_type, schema, diverged_after, diverged_until, "  # noqa: S608 - constants only
        f"diverged_at_millis, {_REMOVED} FROM tables ORDER BY id"
    ).fetchall()
    for location, group, kind, schema, after, until, at_millis, removed_offset in rows:
        defined = log_stream_pb2.LogTableDefined(
            location=location, dataset_group_arn=group, dataset_type=kind, schema=schema
        )
        yield f"table.{digest(location)}", log_stream_pb2.LogMessage(table_defined=defined)
        mark = log_stream_pb2.LogTableMarked(location=location, removed_offset=removed_offset)
        if after is not None:
            mark.diverged_after, mark.diverged_until, mark.diverged_at_millis = after, until, at_millis
        if removed_offset or after is not None:
            yield f"mark.{digest(location)}", log_stream_pb2.LogMessage(table_marked=mark)


def _pages(connection: sqlite3.Connection) -> Iterator[list[tuple[int, str, int, int, str, str | None, bytes]]]:
    """Yield all records, in the order of their offsets."""
    after = 0
    while page := connection.execute(_RECORDS, (after, _PAGE_RECORDS)).fetchall():
        yield page
        after = page[-1][0]


def _messages(
    page: list[tuple[int, str, int, int, str, str | None, bytes]],
) -> Iterator[log_stream_pb2.LogRecordsAppended]:
    """Yield records as messages of one table each."""
    open_messages: dict[str, log_stream_pb2.LogRecordsAppended] = {}
    sizes: dict[str, int] = {}
    for offset, location, millis, kind, tracking_id, record_id, payload in page:
        size = len(payload) + len(tracking_id) + len(record_id or "")
        if location in open_messages and sizes[location] + size > _MESSAGE_BYTES:
            yield open_messages.pop(location)
        message = open_messages.get(location)
        if message is None:
            message = open_messages[location] = log_stream_pb2.LogRecordsAppended(
                location=location, appended_at_millis=millis
            )
            sizes[location] = 0
        sizes[location] += size
        message.records.add(
            offset=offset,
            kind=kind,
            tracking_id=tracking_id,
            record_id=record_id,
            payload=payload,
            appended_at_millis=None if millis == message.appended_at_millis else millis,
        )
    yield from open_messages.values()
