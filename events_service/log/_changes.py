"""The changes of a log in a stream that are no appends: what each writes, and what it removes from the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from events_service.log import Divergence
from events_service.log import _statements as statements
from events_service.log._replica import forget_messages, old_messages, old_records, record_messages, table_mark
from events_service.log._replicator import Replicator
from events_service.log._stream import Write, digest
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = ["begin_after", "diverge", "remove_old", "remove_table", "set_cursor", "tidy"]

#: Removals are cut into pieces, so that appends in between wait for milliseconds only.
_REMOVAL_STEP: Final = 5000
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


async def remove_old(log: Replicator, *, kept_for: Sequence[str], before_millis: int) -> int:
    """Remove some records that are old and that all these consumers have; return how many, 0 when none is left."""
    marks = list(old_records(log.connection, kept_for=kept_for, before_millis=before_millis, limit=_REMOVAL_STEP))
    if marks:
        await log.commit([_marked(mark) for mark, _ in marks])
    return sum(removed for _, removed in marks)


async def tidy(log: Replicator, *, before_millis: int, now_millis: int) -> None:
    """Write down what is left after a removal of old records, and remove from the stream what is not."""
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
    await log.purge("removal", keep=_KEPT_REMOVALS)


def _exists(log: Replicator, location: str) -> bool:
    return log.connection.execute("SELECT 1 FROM tables WHERE location = ?", (location,)).fetchone() is not None


def _marked(mark: log_stream_pb2.LogTableMarked) -> Write:
    message = log_stream_pb2.LogMessage(table_marked=mark)
    return Write(f"mark.{digest(mark.location)}", message, replaces=True)
