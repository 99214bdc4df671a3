"""Follows the event log and keeps the histories of this host up to date."""

from __future__ import annotations

import asyncio
import math

import grpc.aio

from common.errors import OffsetOutOfRange, TailorbirdError
from common.logs import get_logger
from common.positions import Epoch, Lineage
from common.process.contact import PeerContact
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc
from runtime_service.history import HistoryWriter, LoggedEvent

__all__ = ["LogTail"]

#: Name of the fact that an OUT_OF_RANGE carries when the log says what it still keeps.
EARLIEST_OFFSET = "earliest_offset"
_BATCH_EVENTS = 1000
#: A log where too many wait answers at once that there is nothing; such questions are so many seconds apart.
_EMPTY_SECONDS = 0.05
_log = get_logger(__name__)


class LogTail:
    """Reads the log from where the histories end, for as long as it is run.

    Args:
        log: The log's stub.
        history: Written in the order of the log.
        wait_seconds: How long one question waits for new events.
    """

    def __init__(
        self, log: event_log_pb2_grpc.EventLogServiceAsyncStub, history: HistoryWriter, *, wait_seconds: float
    ) -> None:
        self._log = log
        self._history = history
        self._wait_seconds = wait_seconds

    async def run(self) -> None:
        """Follow the log until cancelled; a log that cannot be reached is asked again."""
        contact, clock = PeerContact(), asyncio.get_running_loop().time
        while True:
            asked = clock()
            try:
                moved = await self._step()
            except OffsetOutOfRange as error:
                if not self._skip_to_kept(error):
                    await asyncio.sleep(contact.failed("event_log_gap", error))
            except TailorbirdError as error:
                await asyncio.sleep(contact.failed("event_log_unreachable", error))
            else:
                contact.succeeded("event_log_reached")
                if not moved:
                    await asyncio.sleep(asked + _EMPTY_SECONDS - clock())

    async def _step(self) -> bool:
        """Ask once and write what came; return whether something did."""
        wanted, known = self._history.next_offset(), self._history.lineage()
        try:
            answer = await self._log.ReadEvents(
                event_log_pb2.ReadEventsRequest(
                    from_offset=wanted,
                    max_events=_BATCH_EVENTS,
                    wait_seconds=self._wait_seconds,
                    known_epoch=known.current,
                )
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        lineage = Lineage(Epoch(item.epoch, item.first_offset) for item in answer.epochs) if answer.epochs else known
        if answer.next_offset < wanted or not lineage.has(known.at(wanted - 1)):
            # What was kept is of another log, or of a part that this one has lost.
            _log.warning("event_log_replaced", expected_offset=wanted, next_offset=answer.next_offset)
            self._history.clear()
        elif answer.next_offset > wanted or lineage != known:
            await self._take(answer, lineage)
        return bool(answer.next_offset != wanted or lineage != known)

    async def _take(self, answer: event_log_pb2.ReadEventsResponse, lineage: Lineage) -> None:
        events = [_to_event(event) for event in answer.events]
        for removal in answer.removals:
            earlier = [event for event in events if event.offset < removal.offset]
            self._history.append(earlier, next_offset=removal.offset, lineage=lineage)
            for _ in self._history.forget(removal.dataset_group_arn, up_to=removal.up_to_offset):
                await asyncio.sleep(0)
            _log.info("dataset_forgotten", dataset_group_arn=removal.dataset_group_arn)
        self._history.append(events, next_offset=answer.next_offset, lineage=lineage)

    def _skip_to_kept(self, error: OffsetOutOfRange) -> bool:
        """Begin anew with what the log still keeps, as a new host does; artifacts contain what came before."""
        known, earliest = self._history.next_offset(), error.metadata.get(EARLIEST_OFFSET, "")
        if not earliest.isdecimal() or int(earliest) <= known:
            return False
        _log.warning("events_skipped", next_offset=known, earliest_offset=int(earliest))
        self._history.skip(int(earliest))
        return True


def _to_event(event: event_log_pb2.LoggedEvent) -> LoggedEvent:
    return LoggedEvent(
        offset=event.offset,
        dataset_group_arn=event.dataset_group_arn,
        session_id=event.session_id,
        user_id=event.user_id,
        item_id=event.item_id,
        event_type=event.event_type,
        event_id=event.event_id,
        millis=event.sent_at_millis,
        value=event.event_value if event.HasField("event_value") else math.nan,
        shown=tuple(event.impression),
        recommendation_id=event.recommendation_id,
    )
