"""Tails the event log and keeps the histories of this host, and what was put, up to date."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import grpc.aio

from common.deletions import read_deletion
from common.errors import OffsetOutOfRange, ResourceNotFound, TailorbirdError
from common.logs import get_logger
from common.positions import Epoch, Lineage
from common.process.contact import PeerContact
from common.rpc import from_rpc_error
from common.storage import Store
from common.telemetry import NO_FIGURES, Figures
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc, records_pb2
from runtime_service.figures import TAIL_FAILURES, TAIL_NEXT_OFFSET, TAIL_READ, TAIL_RECORDS
from runtime_service.history import HistoryEvent, HistoryWriter, Put

__all__ = ["LogTail"]

#: Key of the metadata of OUT_OF_RANGE with the first offset that the log still keeps.
EARLIEST_OFFSET = "earliest_offset"
_BATCH_RECORDS = 1000
#: The type of the dataset of what is put, by the member of a record.
_PUT_TYPES: Final[Mapping[str, str]] = MappingProxyType({"item": "ITEMS", "user": "USERS", "action": "ACTIONS"})
#: A log with too many long polls responds at once that there is nothing; then requests are this far apart.
_EMPTY_SECONDS = 0.05
_log = get_logger(__name__)


class LogTail:
    """Reads the log from where the histories end.

    Args:
        log: Stub of the events service.
        history: Stores the events.
        store: Has the ledger that says which users were deleted.
        wait_seconds: How long one request waits for new events.
        note_current: Called whenever the log was read to its end.
        figures: Say how far it is.
        forget_answers: Removes what is kept of answers to users; called in a thread, whenever users or datasets are
            deleted.
    """

    def __init__(
        self,
        log: event_log_pb2_grpc.EventLogServiceAsyncStub,
        history: HistoryWriter,
        store: Store,
        *,
        wait_seconds: float,
        note_current: Callable[[], None],
        figures: Figures = NO_FIGURES,
        forget_answers: Callable[[], None] = lambda: None,
    ) -> None:
        self._records, self._failures = figures.counter(TAIL_RECORDS), figures.counter(TAIL_FAILURES)
        self._next_offset, self._read_at = figures.gauge(TAIL_NEXT_OFFSET), figures.gauge(TAIL_READ)
        self._next_offset.set(history.next_offset())
        self._log = log
        self._history = history
        self._ledger_store = store
        self._wait_seconds = wait_seconds
        self._note_current = note_current
        self._forget_answers = forget_answers

    async def run(self) -> None:
        """Tail the log until cancelled; what fails is repeated with back-off.

        That is requests, and what is to be done with what they brought: nothing of the log is passed over.
        """
        contact, clock = PeerContact(), asyncio.get_running_loop().time
        while True:
            sent = clock()
            try:
                has_advanced = await self._step()
            except OffsetOutOfRange as error:
                self._failures.add()
                if not self._skip_to_kept(error):
                    await asyncio.sleep(contact.failed("event_log_gap", error))
            except TailorbirdError as error:
                self._failures.add()
                await asyncio.sleep(contact.failed("event_log_unreachable", error))
            except OSError as error:
                # What was deleted must be erased before anything else; late histories are told by health.
                self._failures.add()
                await asyncio.sleep(contact.failed("event_log_not_stored", error))
            else:
                contact.succeeded("event_log_reached")
                if not has_advanced:
                    await asyncio.sleep(sent + _EMPTY_SECONDS - clock())

    async def _step(self) -> bool:
        """Send one request and store its events; return whether there were new ones."""
        from_offset, stored_lineage = self._history.next_offset(), self._history.lineage()
        try:
            page = await self._log.ReadRecords(
                event_log_pb2.ReadRecordsRequest(
                    from_offset=from_offset,
                    max_records=_BATCH_RECORDS,
                    wait_seconds=self._wait_seconds,
                    known_epoch=stored_lineage.current,
                )
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        epochs = [Epoch(item.epoch, item.first_offset) for item in page.epochs]
        lineage = Lineage(epochs) if epochs else stored_lineage
        if page.next_offset < from_offset or not lineage.has(stored_lineage.at(from_offset - 1)):
            # The stored events are of another log, or of a part that this one has lost.
            _log.warning("event_log_replaced", expected_offset=from_offset, next_offset=page.next_offset)
            self._history.clear()
        elif page.next_offset > from_offset or lineage != stored_lineage:
            await self._store(page, lineage)
        self._records.add(len(page.records))
        self._next_offset.set(self._history.next_offset())
        self._read_at.set(time.time())
        if len(page.records) < _BATCH_RECORDS:
            self._note_current()
        return bool(page.next_offset != from_offset or lineage != stored_lineage)

    async def _store(self, page: event_log_pb2.ReadRecordsResponse, lineage: Lineage) -> None:
        events = list(filter(None, map(_history_event, page.records)))
        puts = list(filter(None, map(_put, page.records)))
        removals: list[event_log_pb2.LogRemoval | event_log_pb2.UserRemoval] = [*page.removals, *page.user_removals]
        for removal in sorted(removals, key=lambda item: item.offset):
            if isinstance(removal, event_log_pb2.UserRemoval):
                forgetting = await self._forget_users(removal)
            else:
                forgetting = self._history.forget(
                    removal.dataset_group_arn, removal.dataset_type, up_to=removal.up_to_offset
                )
            self._history.append(
                [event for event in events if event.offset < removal.offset],
                puts=[put for put in puts if put.offset < removal.offset],
                next_offset=removal.offset,
                lineage=lineage,
            )
            for _ in forgetting:
                await asyncio.sleep(0)
            await asyncio.to_thread(self._forget_answers)
            _log.info("history_forgotten", dataset_group_arn=removal.dataset_group_arn, offset=removal.offset)
        self._history.append(events, puts=puts, next_offset=page.next_offset, lineage=lineage)

    async def _forget_users(self, removal: event_log_pb2.UserRemoval) -> Iterator[None]:
        """Return the steps that remove deleted users; none when their dataset group is deleted, ledger and all."""
        try:
            deleted = await asyncio.to_thread(read_deletion, self._ledger_store, removal.location)
        except ResourceNotFound:
            return iter(())
        return self._history.forget_users(removal.dataset_group_arn, deleted)

    def _skip_to_kept(self, error: OffsetOutOfRange) -> bool:
        """Continue from what the log still keeps, as a new host does; artifacts contain what came before."""
        next_offset, earliest = self._history.next_offset(), error.metadata.get(EARLIEST_OFFSET, "")
        if not earliest.isdecimal() or int(earliest) <= next_offset:
            return False
        _log.warning("events_skipped", next_offset=next_offset, earliest_offset=int(earliest))
        self._history.skip(int(earliest))
        return True


def _history_event(record: records_pb2.LoggedRecord) -> HistoryEvent | None:
    """Return what a user did with an item or an action; None for another record."""
    if record.HasField("action_interaction"):
        done = record.action_interaction
        return HistoryEvent(
            offset=record.offset,
            dataset_group_arn=record.dataset_group_arn,
            session_id=done.session_id,
            user_id=done.user_id,
            item_id=done.action_id,
            event_type=done.event_type,
            event_id=done.event_id,
            millis=done.sent_at_millis,
            dataset_type="ACTION_INTERACTIONS",
        )
    if not record.HasField("event"):
        return None
    event = record.event
    return HistoryEvent(
        offset=record.offset,
        dataset_group_arn=record.dataset_group_arn,
        session_id=event.session_id,
        user_id=event.user_id,
        item_id=event.item_id,
        event_type=event.event_type,
        event_id=event.event_id,
        millis=event.sent_at_millis,
        value=event.event_value if event.HasField("event_value") else math.nan,
        impression=tuple(event.impression),
        recommendation_id=event.recommendation_id,
    )


def _put(record: records_pb2.LoggedRecord) -> Put | None:
    """Return what was put; None for another record."""
    member = record.WhichOneof("content")
    if member is None or member not in _PUT_TYPES:
        return None
    entity: records_pb2.EntityRecord = getattr(record, member)
    properties = entity.properties_json if entity.HasField("properties_json") else None
    return Put(record.offset, record.dataset_group_arn, _PUT_TYPES[member], entity.entity_id, properties)
