"""Keeps a replica equal to its stream, and writes changes to the stream that follow from the replica."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from common.errors import TailorbirdError, Unavailable
from common.logs import get_logger
from common.process.contact import PeerContact
from events_service.log import LogEntry, is_wider
from events_service.log import _statements as statements
from events_service.log._lease import ConsumerLease, lease_bucket
from events_service.log._limits import MAX_GROUP, MAX_GROUP_BYTES, payload_bytes, require_room
from events_service.log._replica import (
    Replaced,
    apply_message,
    clear,
    planned_appends,
    require_no_move,
    stream_position,
)
from events_service.log._stream import Conflict, LogStream, StreamMessage, StreamState, Write, digest
from events_service.log.stream_target import StreamTarget
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = ["Change", "Replicator"]

T = TypeVar("T")
_HINT_ATTEMPTS: Final = 20
_HINT_PAUSE_SECONDS: Final = 0.002
_CANCEL_SECONDS: Final = 0.5
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Append:
    entries: Sequence[LogEntry]
    now_millis: int
    size: int
    future: Future[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Changing:
    run: Change
    future: Future[Any]


class Replicator:
    """Runs on an event loop of its own; `append`, `change` and `stop` are called from any thread.

    Args:
        connection: To the replica; used on the loop only.
        target: The stream.
        max_waiting: Changes that may wait; more are rejected.
        lease_seconds: How long the lease of consumption lasts.
        monotonic: Returns seconds on a clock that nobody sets.
        on_change: Called when the log has another end.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        target: StreamTarget,
        *,
        max_waiting: int,
        lease_seconds: float,
        monotonic: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.connection = connection
        self._stream = LogStream(target, on_reconnect=self._reconnected)
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._queue: deque[_Append | _Changing] = deque()
        self._waiting_bytes = 0
        self._queue_lock = threading.Lock()
        self._accepting = True
        self._queued = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Held while the replica, or the stream by way of it, is changed.
        self._turn = asyncio.Lock()
        self._created, self._applied = stream_position(connection)
        self._end = statements.end(connection)
        # Whether the replica is known to have everything; if somebody else writes, the next write finds out.
        self._synchronised = False
        # Each opening and each new connection begins an epoch with its first write: the server may have been restored.
        self._epoch_due = True
        self.lease = ConsumerLease(
            self._stream.context,
            bucket=lease_bucket(target),
            replicas=target.replicas,
            seconds=lease_seconds,
            monotonic=monotonic,
            catch_up=lambda: asyncio.wrap_future(self.catch_up()),
        )

    @property
    def max_bytes(self) -> int:
        """Size of the largest message that the stream takes."""
        return self._stream.max_bytes

    def append(self, entries: Sequence[LogEntry], *, now_millis: int) -> Future[tuple[int, ...]]:
        """Queue records of one table; the result are their offsets. Errors of `change`."""
        future: Future[tuple[int, ...]] = Future()
        self._submit(_Append(entries, now_millis, payload_bytes(entries), future))
        return future

    def change(self, run: Change) -> Future[Any]:
        """Queue a change.

        Args:
            run: Works the change out and commits it, on the loop; called again when somebody else wrote meanwhile.

        Returns:
            The result of `run`.

        Raises:
            LimitExceeded: Too many changes are queued, or too large ones.
            Unavailable: The log is closed.
        """
        future: Future[Any] = Future()
        self._submit(_Changing(run, future))
        return future

    def catch_up(self) -> Future[None]:
        """Read what the stream has; the result comes when the replica has all of it. Errors of `change`."""
        return self.change(_nothing)

    def stop(self) -> None:
        """Take no more changes; `run` returns when those that are queued are written or failed."""
        with self._queue_lock:
            self._accepting = False
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._queued.set)

    async def run(self, opened: Future[None]) -> None:
        """Serve until `stop`.

        Args:
            opened: Completed when the replica has all that was in the stream at the start.
        """
        self._loop = asyncio.get_running_loop()
        try:
            state = await self._stream.open()
            await self._start(state)
            require_no_move(self.connection)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the opening raises it
            # First: whoever waits must hear of it even if the connection cannot be closed.
            opened.set_exception(error)
            await self._stream.close()
            return
        opened.set_result(None)
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self.lease.run())]
        try:
            while self._accepting or self._queue:
                await self._queued.wait()
                self._queued.clear()
                while self._queue:
                    await self._serve(self._next_group())
        finally:
            while running := [task for task in tasks if not task.done()]:
                # Once need not be enough: `asyncio.wait_for` may lose a cancellation that meets its result.
                for task in running:
                    task.cancel()
                await asyncio.wait(running, timeout=_CANCEL_SECONDS)
            await self.lease.give_up()
            await self._stream.close()

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write messages, all for the present state of the replica, and apply them.

        Raises:
            Conflict: Somebody else wrote; what was written before that is applied.
            Unavailable: It is not known whether all was written.
        """
        error = (await self._write(writes))[1]
        if error is not None:
            raise error

    async def purge(self, subject: str, *, keep: int | None = None) -> None:
        """Remove the messages of a subject that were applied, or all but the newest.

        Raises:
            Unavailable: The server does not answer.
        """
        await self._stream.purge(subject, up_to=self._applied if keep is None else None, keep=keep)

    async def erase(self, sequences: Sequence[int]) -> None:
        """Overwrite and remove messages; errors of `purge`."""
        await self._stream.erase(sequences)

    def _submit(self, item: _Append | _Changing) -> None:
        size = item.size if isinstance(item, _Append) else 0
        with self._queue_lock:
            if not self._accepting:
                raise Unavailable("event log: it is closed, want another process or a later attempt")
            require_room(
                size=size,
                n_waiting=len(self._queue),
                waiting_bytes=self._waiting_bytes,
                max_waiting=self._max_waiting,
                place="stream",
            )
            self._waiting_bytes += size
            self._queue.append(item)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._queued.set)

    def _next_group(self) -> list[_Append] | _Changing:
        """Return the appends at the head of the queue, or the other change that is there."""
        with self._queue_lock:
            head = self._queue[0]
            if isinstance(head, _Changing):
                self._queue.popleft()
                return head
            group: list[_Append] = []
            size = 0
            while self._queue and len(group) < MAX_GROUP and size < MAX_GROUP_BYTES:
                item = self._queue[0]
                if not isinstance(item, _Append):
                    break
                group.append(item)
                size += item.size
                self._queue.popleft()
            self._waiting_bytes -= size
            return group

    async def _serve(self, group: list[_Append] | _Changing) -> None:
        async with self._turn:
            try:
                if isinstance(group, _Changing):
                    await self._run_change(group)
                else:
                    await self._run_appends(group)
            except Exception as error:  # noqa: BLE001 - those who wait raise it
                for item in group if isinstance(group, list) else [group]:
                    # One error each: a future's waiter adds its traceback.
                    _fail(item.future, error)

    async def _run_change(self, change: _Changing) -> None:
        # A change that finds nothing to do writes nothing, and would not meet what others wrote.
        self._synchronised = False
        while not change.future.cancelled():
            try:
                await self._synchronise()
                require_no_move(self.connection)
                result = await change.run(self)
            except Conflict:
                continue
            _complete(change.future, result)
            return

    async def _run_appends(self, group: list[_Append]) -> None:
        while group := [item for item in group if not item.future.done()]:
            await self._synchronise()
            plans = planned_appends(
                self.connection,
                [item.entries for item in group],
                now_millis=max(item.now_millis for item in group),
                max_bytes=self.max_bytes,
            )
            schemas: dict[str, str] = dict(self.connection.execute("SELECT location, schema FROM tables"))
            writes: list[Write] = []
            # How many writes must have succeeded for each plan.
            needed: list[int] = []
            for plan in plans:
                if plan.message.records:
                    before = schemas.get(plan.table.location)
                    if before is None or is_wider(plan.table.schema, before):
                        schemas[plan.table.location] = plan.table.schema
                        writes.append(_definition(plan.table))
                    message = log_stream_pb2.LogMessage(records_appended=plan.message)
                    writes.append(Write(f"records.{digest(plan.table.location)}", message))
                needed.append(len(writes))
            written, error = await self._write(writes) if writes else (0, None)
            for plan, count in zip(plans, needed, strict=True):
                if count <= written:
                    for number, offsets in zip(plan.calls, plan.offsets, strict=True):
                        _complete(group[number].future, offsets)
            if error is not None and not isinstance(error, Conflict):
                raise error

    async def _write(self, writes: Sequence[Write]) -> tuple[int, Exception | None]:
        """Write and apply messages; return how many were, and why not all."""
        require_no_move(self.connection)
        due, self._epoch_due = self._epoch_due, False
        epoch = secrets.randbelow(2**63 - 1) + 1 if due else statements.lineage(self.connection).current
        head: list[Write] = []
        if due:
            begun = log_stream_pb2.LogEpochBegun(first_offset=statements.end(self.connection))
            head.append(Write("epoch", log_stream_pb2.LogMessage(epoch_begun=begun)))
        all_writes = [*head, *writes]
        for write in all_writes:
            write.message.epoch = epoch
        sequences, error = await self._stream.write(all_writes, after=self._applied)
        if due and not sequences:
            self._epoch_due = True
        if error is not None:
            self._synchronised = False
        messages = [
            StreamMessage(sequence, write.message)
            for sequence, write in zip(sequences, islice(all_writes, len(sequences)), strict=True)
        ]
        self._apply(messages)
        return max(0, len(sequences) - len(head)), error

    async def _start(self, state: StreamState) -> None:
        """Read all that the replica does not have."""
        if state.created == self._created and state.last >= self._applied:
            try:
                await self._catch_up(state.last)
            except Replaced:
                pass
            else:
                self._synchronised = True
                return
        self._clear(state)
        await self._catch_up(state.last, checked=False)
        self._synchronised = True

    async def _synchronise(self) -> None:
        """Apply what others have written, if anything may be missing."""
        while not self._synchronised:
            state = await self._stream.ensure()
            if state.created != self._created or state.last < self._applied:
                await self._rebuild()
                continue
            try:
                # At once: of a message that was erased, the one that took its place comes later.
                async with self._at_once():
                    await self._catch_up(state.last)
            except Replaced:
                await self._rebuild()
                continue
            self._synchronised = True

    async def _follow(self) -> None:
        """Apply what others write, as soon as they have; repeated with back-off when that fails."""
        contact = PeerContact()
        while True:
            try:
                await self._follow_once(contact)
            except Replaced:
                self._synchronised = False
            except Exception as error:  # noqa: BLE001 - without this task nothing of others would be seen any more
                await asyncio.sleep(contact.failed("event_log_unreachable", error))

    async def _follow_once(self, contact: PeerContact) -> None:
        async for sequence in self._stream.hints():
            attempts = 0
            # Whoever writes is heard before the message is in the stream, and may yet be refused.
            while sequence > self._applied and attempts < _HINT_ATTEMPTS:
                async with self._turn:
                    messages = await self._stream.read(self._applied, last=sequence)
                    if messages and messages[-1].sequence != self._applied + len(messages):
                        # Some are gone from the stream.
                        self._synchronised = False
                        await self._synchronise()
                    self._apply(messages)
                attempts += 1
                await asyncio.sleep(_HINT_PAUSE_SECONDS * attempts)
            if sequence == 0:
                async with self._turn:
                    self._synchronised = False
                    await self._synchronise()
                contact.succeeded("event_log_reached")

    async def _rebuild(self) -> None:
        """Make the replica anew, in one transaction, so that its readers see the old state or the new one."""
        state = await self._stream.ensure()
        _log.error("event_log_replaced", stream_created=state.created, messages=state.last)
        async with self._at_once():
            self._clear(state)
            await self._catch_up(state.last, checked=False)
        self._epoch_due = True
        self._on_change()

    @asynccontextmanager
    async def _at_once(self) -> AsyncIterator[None]:
        """Apply everything in the block in one transaction: readers see the state before or the one after."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            self._created, self._applied = stream_position(self.connection)
            raise
        end = statements.end(self.connection)
        if end != self._end:
            self._end = end
            self._on_change()

    def _clear(self, state: StreamState) -> None:
        clear(self.connection, stream=state.created)
        self._created, self._applied = state.created, 0

    async def _catch_up(self, last: int, *, checked: bool = True) -> None:
        """Apply the messages up to a sequence."""
        while self._applied < last:
            messages = await self._stream.read(self._applied, last=last)
            self._apply(messages, checked=checked)
            if not messages:
                self._skip_to(last)

    def _apply(self, messages: Sequence[StreamMessage], *, checked: bool = True) -> None:
        """Apply messages in one transaction, without those that were applied already."""
        news = [item for item in messages if item.sequence > self._applied]
        if not news:
            return
        connection, is_outermost = self.connection, not self.connection.in_transaction
        try:
            if is_outermost:
                connection.execute("BEGIN IMMEDIATE")
            try:
                for item in news:
                    apply_message(connection, item.sequence, item.message, checked=checked)
                if is_outermost:
                    connection.execute("COMMIT")
            except BaseException:
                if is_outermost and connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._synchronised = False
            raise Unavailable(f"event log: its replica cannot be written: {error}") from error
        self._applied = news[-1].sequence
        end = statements.end(connection)
        if is_outermost and end != self._end:
            self._end = end
            self._on_change()

    def _skip_to(self, sequence: int) -> None:
        """Note that there is no message up to a sequence: the last ones were removed."""
        if sequence > self._applied:
            self.connection.execute("UPDATE replica SET sequence = ?", (sequence,))
            self._applied = sequence

    def _reconnected(self) -> None:
        self._epoch_due = True
        self._synchronised = False


#: Works a change out and commits it.
Change = Callable[[Replicator], Awaitable[Any]]


async def _nothing(log: Replicator) -> None:
    """Change nothing, in the replica's newest state."""


def _definition(table: Any) -> Write:
    defined = log_stream_pb2.LogTableDefined(
        location=table.location,
        dataset_group_arn=table.dataset_group_arn,
        dataset_type=table.dataset_type,
        schema=table.schema,
    )
    return Write(f"table.{digest(table.location)}", log_stream_pb2.LogMessage(table_defined=defined))


def _complete(future: Future[T], result: T) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[Any], error: Exception) -> None:
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if isinstance(error, TailorbirdError):
        future.set_exception(type(error)(error.message))
    else:
        failure = Unavailable(f"event log: cannot be written: {error}")
        failure.__cause__ = error
        future.set_exception(failure)
