"""EventLogService: lets runtimes tail the log."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import grpc.aio

from common.errors import CorruptArtifact, OffsetOutOfRange, invalid
from common.positions import Lineage
from common.process.long_poll import LongPolls
from events_service.log import EventLog, LogPage
from events_service.records import leave_out, logged_message
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc

__all__ = ["SERVICE", "EventLogServicer", "epoch_messages"]

SERVICE = event_log_pb2.DESCRIPTOR.services_by_name["EventLogService"]
_DEFAULT_RECORDS = 1000
_MAX_RECORDS = 10_000
_MAX_WAIT_SECONDS = 60.0
#: Below the 4 MiB that any client takes by default; one record, of 32,000 characters, is at most a little over 128 KB.
_MAX_PAGE_BYTES = 3 * 1024 * 1024


class EventLogServicer(event_log_pb2_grpc.EventLogServiceServicer):
    """Serves pages of the log.

    Args:
        log: The log.
        polls: Where readers wait for records that are appended to the log.
    """

    def __init__(self, log: EventLog, polls: LongPolls) -> None:
        self._log = log
        self._polls = polls

    async def ReadRecords(
        self,
        request: event_log_pb2.ReadRecordsRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC passes a context to every method
    ) -> event_log_pb2.ReadRecordsResponse:
        """Return records from an offset on, waiting for a first one."""
        from_offset = _from_offset(request)
        max_records = _max_records(request)
        seconds = _wait_seconds(request)
        known_epoch = request.known_epoch if request.HasField("known_epoch") else None
        page: LogPage | None = None

        def read() -> LogPage | None:
            nonlocal page
            page = self._log.read(from_offset, max_records=max_records)
            return page if page.next_offset > from_offset else None

        try:
            await self._polls.until(read, seconds=seconds)
            assert page is not None
        except OffsetOutOfRange:
            end, lineage = await asyncio.to_thread(self._present)
            if from_offset <= end and known_epoch in (None, lineage.current):
                raise
            # The reader may know another log: the epochs let it compare. Readers without epochs see a lower offset.
            page = LogPage([], [], min(from_offset, end), lineage)
        return await asyncio.to_thread(_response, page, known_epoch=known_epoch)

    def _present(self) -> tuple[int, Lineage]:
        return self._log.bounds().end, self._log.lineage()


def _response(page: LogPage, *, known_epoch: int | None) -> event_log_pb2.ReadRecordsResponse:
    response = event_log_pb2.ReadRecordsResponse(next_offset=page.next_offset)
    size = 0
    for logged in page.records:
        try:
            message = logged_message(logged)
        except CorruptArtifact as error:
            leave_out(logged, error)
            continue
        size += message.ByteSize()
        if size > _MAX_PAGE_BYTES:
            response.next_offset = logged.offset
            break
        response.records.append(message)
    response.removals.extend(
        event_log_pb2.LogRemoval(
            offset=item.offset,
            dataset_group_arn=item.dataset_group_arn,
            dataset_type=item.dataset_type,
            up_to_offset=item.up_to_offset,
        )
        for item in page.removals
        if item.offset < response.next_offset
    )
    response.user_removals.extend(
        event_log_pb2.UserRemoval(
            offset=item.offset,
            dataset_group_arn=item.dataset_group_arn,
            location=item.location,
            up_to_offset=item.up_to_offset,
        )
        for item in page.user_removals
        if item.offset < response.next_offset
    )
    if known_epoch not in (None, page.lineage.current):
        response.epochs.extend(epoch_messages(page.lineage))
    return response


def epoch_messages(lineage: Lineage) -> list[event_log_pb2.LogEpoch]:
    """Return the epochs of a log as responses have them, oldest first."""
    return [event_log_pb2.LogEpoch(epoch=item.epoch, first_offset=item.first_offset) for item in lineage]


def _from_offset(request: event_log_pb2.ReadRecordsRequest) -> int:
    if request.from_offset < 1:
        raise invalid("from_offset", got=request.from_offset, want="an offset; they begin at 1")
    return request.from_offset


def _max_records(request: event_log_pb2.ReadRecordsRequest) -> int:
    max_records = request.max_records if request.HasField("max_records") else _DEFAULT_RECORDS
    if not 1 <= max_records <= _MAX_RECORDS:
        raise invalid("max_records", got=max_records, want=f"1 to {_MAX_RECORDS}")
    return max_records


def _wait_seconds(request: event_log_pb2.ReadRecordsRequest) -> float:
    seconds = request.wait_seconds
    if not math.isfinite(seconds) or not 0 <= seconds <= _MAX_WAIT_SECONDS:
        raise invalid("wait_seconds", got=seconds, want=f"0 to {_MAX_WAIT_SECONDS:g} seconds")
    return seconds
