"""The changes of a log in a stream that are no appends: what each writes, and what it removes from the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from events_service.log import Divergence
from events_service.log import _statements as statements
from events_service.log._message_records import (
    forget_messages,
    forget_replaced,
    old_messages,
    record_messages,
    replaced_messages,
    replacements,
)
from events_service.log._replica import old_records, table_mark
from events_service.log._replicator import Replicator
from events_service.log._stream import Conflict, Write, digest
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = [
    "append_user_removal",
    "begin_after",
    "diverge",
    "remove_old",
    "remove_records",
    "remove_table",
    "set_cursor",
    "tidy",
]

#: Removals are cut into pieces, so that appends in between wait for milliseconds only.
_REMOVAL_STEP: Final = 5000
_REPLACED_AT_ONCE: Final = 256
_KEPT_REMOVALS: Final = 10_000


async def set_cursor(log: Replicator, *, consumer: str, location: str, offset: int) -> None:
    """Set a consumer's cursor; a table that is not in the log has none."""
    if _exists(log, location):
        cursor = log_stream_pb2.LogCursorSet(consumer=consumer, location=location, offset=offset)
        subject = f"cursor.{digest(location)}.{digest(consumer)}"
        await log.commit([Write(subject, log_stream_pb2.LogMessage(cursor_set=cursor), replaces=True)])


async def diverge(log: Replicator, *, location: str, divergence: Divergence, now_millis: int) -> None:
    """Note rows of another log in a table, together with those that were noted before."""
    if _exists(log, location):
        mark = table_mark(log.connection, location, divergence=divergence, now_millis=now_millis)
        await log.commit([_marked(mark)])


async def begin_after(log: Replicator, *, offset: int, now_millis: int) -> None:
    """Leave out all offsets up to this one that were not given yet."""
    if offset >= statements.end(log.connection):
        # Whoever reads what is written below takes it that nothing is left to be erased.
        await _erase_replaced(log)
        # What is known of the log otherwise stays as it is.
        tidied = log_stream_pb2.LogTidied(
            first_offset=statements.bounds(log.connection).first,
            end_offset=offset + 1,
            clock_millis=now_millis,
            before_millis=0,
        )
        await log.commit([Write("state", log_stream_pb2.LogMessage(tidied=tidied), replaces=True)])


async def remove_table(log: Replicator, *, location: str) -> int:
    """Remove a table with its records, from the stream first; return how many records it had."""
    row = log.connection.execute(
        "SELECT id, dataset_group_arn, dataset_type FROM tables WHERE location = ?", (location,)
    ).fetchone()
    if row is None:
        return 0
    table_id, dataset_group_arn, dataset_type = row
    (records,) = log.connection.execute("SELECT count(*) FROM records WHERE table_id = ?", (table_id,)).fetchone()
    name = digest(location)
    await _erase_replaced(log)
    await log.erase(record_messages(log.connection, location))
    await log.purge(f"records.{name}")
    offset = statements.end(log.connection)
    removed = log_stream_pb2.LogTableRemoved(
        location=location,
        offset=offset,
        dataset_group_arn=dataset_group_arn,
        dataset_type=dataset_type,
        up_to_offset=statements.removal_bound(
            log.connection, dataset_group_arn, dataset_type, offset, without=location
        ),
    )
    await log.commit([Write("removal", log_stream_pb2.LogMessage(table_removed=removed))])
    # They mean nothing without the table; should they stay, the removal behind them undoes them.
    for subject in (f"table.{name}", f"mark.{name}", f"cursor.{name}.*"):
        await log.purge(subject)
    return int(records)


async def remove_records(log: Replicator, *, location: str, offsets: Sequence[int]) -> int:
    """Remove some of a table's records, of a limited number of messages; return how many, 0 when none is left.

    Also with nothing to remove it finishes what a call before has left when it was cut off.
    """
    removed = 0
    await _erase_replaced(log)
    for replacement in list(replacements(log.connection, location, offsets, limit=_REPLACED_AT_ONCE)):
        message = log_stream_pb2.LogMessage(records_replaced=replacement)
        try:
            await log.commit([Write(f"records.{digest(location)}", message)])
        except Conflict:
            if removed:
                break  # the next call does the rest
            raise
        removed += len(replacement.removed_offsets)
    await _erase_replaced(log)
    return removed


async def append_user_removal(log: Replicator, *, dataset_group_arn: str, location: str, up_to_offset: int) -> int:
    """Append a deletion of users, unless it is in the log; return its offset."""
    row = log.connection.execute('SELECT "offset" FROM user_removals WHERE location = ?', (location,)).fetchone()
    if row is not None:
        return int(row[0])
    offset = statements.end(log.connection)
    removal = log_stream_pb2.LogUserRemovalAppended(
        offset=offset, dataset_group_arn=dataset_group_arn, location=location, up_to_offset=up_to_offset
    )
    await log.commit([Write("user_removal", log_stream_pb2.LogMessage(user_removal_appended=removal))])
    return offset


async def remove_old(log: Replicator, *, kept_for: Sequence[str], before_millis: int) -> int:
    """Remove some records that are old and that all these consumers have; return how many, 0 when none is left."""
    marks = list(old_records(log.connection, kept_for=kept_for, before_millis=before_millis, limit=_REMOVAL_STEP))
    if marks:
        await log.commit([_marked(mark) for mark, _ in marks])
    return sum(removed for _, removed in marks)


async def tidy(log: Replicator, *, before_millis: int, now_millis: int) -> None:
    """Write down what is left after a removal of old records, and remove from the stream what is not."""
    await _erase_replaced(log)
    end = statements.end(log.connection)
    (first,) = log.connection.execute('SELECT min("offset") FROM records').fetchone()
    tidied = log_stream_pb2.LogTidied(
        first_offset=end if first is None else first,
        end_offset=end,
        clock_millis=now_millis,
        before_millis=before_millis,
    )
    await log.commit([Write("state", log_stream_pb2.LogMessage(tidied=tidied), replaces=True)])
    while erasable := old_messages(log.connection, limit=_REMOVAL_STEP):
        await log.erase(erasable)
        forget_messages(log.connection, erasable)
    (epochs,) = log.connection.execute("SELECT count(*) FROM epochs").fetchone()
    await log.purge("epoch", keep=epochs)
    for subject in ("removal", "user_removal"):
        await log.purge(subject, keep=_KEPT_REMOVALS)


async def _erase_replaced(log: Replicator) -> None:
    """Erase the messages whose place others have taken; those of another process may be among them."""
    if replaced := replaced_messages(log.connection):
        await log.erase(replaced)
        forget_replaced(log.connection)


def _exists(log: Replicator, location: str) -> bool:
    return log.connection.execute("SELECT 1 FROM tables WHERE location = ?", (location,)).fetchone() is not None


def _marked(mark: log_stream_pb2.LogTableMarked) -> Write:
    message = log_stream_pb2.LogMessage(table_marked=mark)
    return Write(f"mark.{digest(mark.location)}", message, replaces=True)
