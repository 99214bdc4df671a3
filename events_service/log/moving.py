"""Moves a log from SQLite to a JetStream stream and back, with its offsets, epochs, cursors and ids.

What is there afterwards is compared with what was there, and only then put in the place of it: the last step is the
renaming of one file. Whatever cuts a move off, the same call again goes on with it, and ends in the same state. The log
is used by nobody meanwhile: the folder is locked, a stream that a log is being moved into is opened by no service, and
one that a log was moved out of takes no more changes, from whichever service.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from nats.js.errors import NotFoundError

from common.errors import CorruptArtifact, InvalidInput, ResourceInUse, Unavailable
from common.positions import Position
from common.private_files import private_folder
from events_service.log._contents import LogContents, changes_to, read_contents
from events_service.log._disk import sync_and_drop_cache
from events_service.log._files import UNFINISHED_DATABASE, lock_folder, make_private, sync_folders
from events_service.log._lease import is_consumed
from events_service.log._replica import REPLICA, REPLICA_TABLES, apply_message, clear, open_replica
from events_service.log._schema import open_database, prepare
from events_service.log._statements import lineage
from events_service.log._stream import Conflict, LogStream, StreamMessage, StreamState, Write
from events_service.log.sqlite import DATABASE
from events_service.log.stream_target import StreamTarget
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = ["MOVED_DATABASE", "MoveProgress", "move_to_sqlite", "move_to_stream"]

#: What a log in SQLite is called when it was moved.
MOVED_DATABASE: Final = "events.moved.db"
_MOVE: Final = "move"
_CHECKPOINT_PAGES: Final = 1000
_BACKUP_PAGES: Final = 1000
#: How long a server that does not answer is tried, and the pause between two attempts.
_PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.5


class MoveProgress(Protocol):
    """Is told how far a move has got."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take the name of a step, and how much of it is done: records, messages or pages."""
        ...


def move_to_stream(folder: Path, target: StreamTarget, *, progress: MoveProgress) -> LogContents | None:
    """Move the log of a folder into a stream, which is made if there is none.

    Args:
        folder: Of an events service that does not run. The log's file stays there, by another name.
        target: The stream; empty, or with the beginning of the same move.
        progress: Is told how far it has got.

    Returns:
        What was moved; None when all was moved before.

    Raises:
        ResourceInUse: An events service holds the log, or somebody else writes to the stream.
        InvalidInput: There is no log in the folder, or the stream has another one.
        CorruptArtifact: What is in the stream is not the same; the log stays where it is.
        Unavailable: The server cannot be reached.
    """
    with closing(lock_folder(private_folder(folder))):
        source, moved = folder / DATABASE, folder / MOVED_DATABASE
        if not source.exists():
            if moved.exists() or (folder / REPLICA).exists():
                return None
            raise InvalidInput(f"`data_dir`: got {folder}, where no log in SQLite is, want the folder of one")
        if moved.exists():
            raise InvalidInput(
                f"`data_dir`: got {folder}, where {MOVED_DATABASE} is of an earlier move; remove it first"
            )
        with _opened(source) as connection:
            contents = read_contents(connection, progress=_step(progress, "reading the log", _count(connection)))
            asyncio.run(_copy_to_stream(connection, contents, folder, target, progress))
        if source.with_name(f"{DATABASE}-wal").exists():
            raise ResourceInUse(f"`data_dir`: got {source}, which another process has open, want it closed")
        source.rename(moved)
        sync_folders(folder)
        return contents


def move_to_sqlite(
    folder: Path, target: StreamTarget, *, progress: MoveProgress, lease_seconds: float = 0.0
) -> LogContents | None:
    """Move the log of a stream into the folder of an events service.

    From its begin on the stream takes no changes: calls of services that still run fail, and may be repeated when one
    runs with the moved log. The stream is not removed.

    Args:
        folder: Of an events service that does not run; without a log in SQLite.
        target: The stream.
        progress: Is told how far it has got.
        lease_seconds: How long to look whether an events service holds the lease of the stream.

    Returns:
        What was moved; None when all was moved before.

    Raises:
        ResourceInUse: An events service holds the folder, or the lease.
        InvalidInput: There is no log in the stream.
        CorruptArtifact: What is in the file is not the same; the folder is as it was.
        Unavailable: The server cannot be reached.
    """
    with closing(lock_folder(private_folder(folder))):
        if (folder / DATABASE).exists():
            if not (folder / REPLICA).exists():
                return None
            raise InvalidInput(f"`data_dir`: got {folder}, where {DATABASE} is a log in SQLite, want none")
        contents = asyncio.run(_copy_from_stream(folder, target, progress, lease_seconds))
        _remove_database(folder / REPLICA)
        (folder / UNFINISHED_DATABASE).rename(folder / DATABASE)
        sync_folders(folder)
        return contents


async def _copy_to_stream(
    source: sqlite3.Connection, contents: LogContents, folder: Path, target: StreamTarget, progress: MoveProgress
) -> None:
    async with _connected(target) as stream:
        state, begun, last = await stream.ensure(), await stream.next_after(0), await stream.last_of(_MOVE)
        change = _change_of(last)
        if begun is not None and (change == "moved_away" or not _continues(begun, contents)):
            is_unused = change == "move_begun" or (last is not None and last.sequence == state.last)
            if change == "moved_away" or not (is_unused and _is_part(begun, source)):
                raise InvalidInput(
                    f"`event_log_stream`: got {target.stream}, which holds another log, or one that was moved out of "
                    "it; want an empty stream or none: name another one, or remove that with `nats stream rm`"
                )
            await stream.clear()
            begun = None
        if begun is None:
            begun, change = await _begin(stream, state, contents), "move_begun"
        if change == "move_begun":
            await _write_changes(stream, source, after=begun.sequence, progress=progress)
            await _compare(stream, folder, source, contents, progress)
            end = Write(_MOVE, log_stream_pb2.LogMessage(move_ended=log_stream_pb2.LogMoveEnded()))
            await _write(stream, end, after=(await stream.state()).last)


def _change_of(message: StreamMessage | None) -> str | None:
    return None if message is None else message.message.WhichOneof("change")


def _continues(begun: StreamMessage, contents: LogContents) -> bool:
    """Return whether the first message of a stream is that of the move of these contents."""
    return begun.message.HasField("move_begun") and begun.message.move_begun.digest == contents.digest


def _is_part(begun: StreamMessage, source: sqlite3.Connection) -> bool:
    """Return whether a log has all that was, or was to be, moved by the move that begins with a message."""
    move = begun.message.move_begun
    position = Position(move.epoch, move.end_offset - 1)
    return begun.message.HasField("move_begun") and lineage(source).has(position)


async def _begin(stream: LogStream, state: StreamState, contents: LogContents) -> StreamMessage:
    move = log_stream_pb2.LogMoveBegun(digest=contents.digest, epoch=contents.epoch, end_offset=contents.end_offset)
    message = log_stream_pb2.LogMessage(move_begun=move)
    return StreamMessage(await _write(stream, Write(_MOVE, message), after=state.last), message)


async def _write_changes(stream: LogStream, source: sqlite3.Connection, *, after: int, progress: MoveProgress) -> None:
    """Write the changes that the stream does not have yet; `after` is the sequence of the move's first message."""
    total = sum(1 for _ in changes_to(source))
    last = (await stream.state()).last
    done = last - after
    progress("writing to the stream", done, total)
    for change in islice(changes_to(source), done, None):
        last = await _write(stream, change, after=last)
        done += 1
        progress("writing to the stream", done, total)


async def _compare(
    stream: LogStream, folder: Path, source: sqlite3.Connection, contents: LogContents, progress: MoveProgress
) -> None:
    """Read the stream into the replica that the service will have, and compare that with what was moved.

    Raises:
        CorruptArtifact: It is not the same.
    """
    replica = await _read_stream(stream, await stream.state(), folder, progress, expected=changes_to(source))
    with closing(replica):
        counted = _step(progress, "comparing", contents.records)
        _require_same(contents, read_contents(replica, progress=counted))


async def _copy_from_stream(
    folder: Path, target: StreamTarget, progress: MoveProgress, lease_seconds: float
) -> LogContents:
    async with _connected(target) as stream:
        try:
            state = await stream.state()
        except NotFoundError as error:
            raise InvalidInput(f"`event_log_stream`: got {target.stream}, which is not there, want a stream") from error
        if state.last == 0:
            raise InvalidInput(f"`event_log_stream`: got {target.stream}, which is empty, want one with a log")
        if await is_consumed(stream.context, target, seconds=lease_seconds):
            raise ResourceInUse(
                f"`event_log_stream`: got {target.stream}, which an events service uses, want all of them stopped"
            )
        await _take_away(stream)
        replica = await _read_stream(stream, await stream.state(), folder, progress)
    with closing(replica):
        records = _count(replica)
        contents = read_contents(replica, progress=_step(progress, "reading the log", records))
        unfinished = folder / UNFINISHED_DATABASE
        _remove_database(unfinished)
        make_private(unfinished)
        with closing(open_database(unfinished)) as copy:
            replica.backup(
                copy,
                pages=_BACKUP_PAGES,
                progress=lambda _, left, total: progress("writing the file", total - left, total),
            )
            for table in REPLICA_TABLES:
                copy.execute(f"DROP TABLE {table}")
    sync_and_drop_cache(unfinished)
    with _opened(unfinished) as copy:
        _require_same(contents, read_contents(copy, progress=_step(progress, "comparing", records)))
    return contents


async def _take_away(stream: LogStream) -> None:
    """Let the stream take no more changes; what is acknowledged is before that.

    Raises:
        Unavailable: A log is on its way into the stream.
    """
    while True:
        state, change = await stream.state(), _change_of(await stream.last_of(_MOVE))
        if change == "moved_away":
            return
        if change == "move_begun":
            raise Unavailable("event log: it is being moved into the stream, want the end of that move")
        away = Write(_MOVE, log_stream_pb2.LogMessage(moved_away=log_stream_pb2.LogMovedAway()))
        with suppress(Conflict):
            await _write(stream, away, after=state.last)


async def _read_stream(
    stream: LogStream,
    state: StreamState,
    folder: Path,
    progress: MoveProgress,
    *,
    expected: Iterator[Write] | None = None,
) -> sqlite3.Connection:
    """Make the replica of a folder anew from a stream, and return its connection.

    Args:
        stream: The stream.
        state: Up to where it is read.
        folder: Of the replica.
        progress: Is told how far it has got.
        expected: The messages behind the first one; None if they may be any.

    Raises:
        CorruptArtifact: There is another one.
    """
    _remove_database(folder / REPLICA)
    connection = open_replica(folder / REPLICA)
    try:
        clear(connection, stream=state.created)
        applied = 0
        while messages := await stream.read(applied, last=state.last):
            connection.execute("BEGIN IMMEDIATE")
            for item in messages:
                if expected is not None and applied and item.message != next(expected).message:
                    raise CorruptArtifact(
                        f"event log: got message {item.sequence} of the stream, which is not of this move; remove the "
                        "stream and repeat the command; the log stays where it is"
                    )
                applied = item.sequence
                apply_message(connection, item.sequence, item.message, checked=False)
            connection.execute("COMMIT")
            progress("reading the stream", applied, state.last)
    except BaseException:
        connection.close()
        raise
    return connection


async def _write(stream: LogStream, write: Write, *, after: int) -> int:
    """Write one message, and repeat that while the server does not answer; return its sequence.

    Raises:
        Conflict: Somebody else has written.
        Unavailable: The server did not answer for a minute.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        written, error = await stream.write([write], after=after)
        if written:
            return written[0]
        assert error is not None
        if not isinstance(error, Unavailable) or time.monotonic() >= until:
            raise error
        await asyncio.sleep(_PAUSE_SECONDS)
        with suppress(Unavailable):
            # It may have been stored all the same; the comparison finds out if it is another's.
            if (await stream.state()).last == after + 1:
                return after + 1


@asynccontextmanager
async def _connected(target: StreamTarget) -> AsyncIterator[LogStream]:
    stream = LogStream(target, on_reconnect=lambda: None)
    try:
        await stream.connect()
        yield stream
    except Conflict as error:
        raise ResourceInUse(
            f"`event_log_stream`: got {target.stream}, which somebody else writes to, want one for this move alone"
        ) from error
    finally:
        await stream.close()


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log's database as its service does; afterwards its write-ahead log is in it."""
    make_private(path)
    for file in (path, path.with_name(f"{path.name}-wal")):
        sync_and_drop_cache(file)
    with closing(open_database(path)) as connection:
        prepare(connection, checkpoint_pages=_CHECKPOINT_PAGES)
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove_database(path: Path) -> None:
    for file in (path, *path.parent.glob(f"{path.name}-*")):
        file.unlink(missing_ok=True)


def _require_same(before: LogContents, after: LogContents) -> None:
    if before != after:
        raise CorruptArtifact(
            f"event log: got a copy with {after.records} records of {after.tables} tables and the digest "
            f"{after.digest[:16]}, want {before.records} of {before.tables} and {before.digest[:16]}; the log stays "
            "where it is"
        )


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def _step(progress: MoveProgress, name: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(name, done, total)
