"""SealingService: the flush that trainers call before they read a dataset, and what the log has of users."""

from __future__ import annotations

import grpc

from common.deletions import DigestSet, read_deletion
from common.errors import invalid
from common.storage import Store
from events_service.dataset_sink import DatasetSink
from events_service.log import EventLog
from events_service.servicers.event_log import epoch_messages
from events_service.user_records import SoughtUser, UserRecords
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc

__all__ = ["SERVICE", "DatasetSinkServicer"]

SERVICE = event_log_pb2.DESCRIPTOR.services_by_name["SealingService"]
_LONGEST_SECONDS = 60.0
#: Of a removal or a count, whose last batch may take its time.
_REMOVAL_SECONDS = 30.0
_DIGEST_BYTES = 16
#: Part of a call's time that is kept for its response.
_RESPONSE_SECONDS = 0.5


class DatasetSinkServicer(event_log_pb2_grpc.SealingServiceServicer):
    """Flushes tables at once, removes users, and counts what the log has of one.

    Args:
        sink: Flushes the table; its periodic flushes go on as without these calls.
        log: The log.
        records: Those of users in the log.
        store: Has the ledger of deletions.
    """

    def __init__(self, sink: DatasetSink, log: EventLog, records: UserRecords, store: Store) -> None:
        self._sink = sink
        self._log = log
        self._records = records
        self._store = store

    def FlushTable(
        self, request: event_log_pb2.FlushTableRequest, context: grpc.ServicerContext
    ) -> event_log_pb2.FlushTableResponse:
        """Append all events that were acknowledged before the call to their table."""
        if not request.location:
            raise invalid("location", got=request.location, want="the folder of an interactions table")
        seconds = min(_LONGEST_SECONDS, context.time_remaining() - _RESPONSE_SECONDS)
        # The offset that is returned must not lie below rows that another log has written.
        self._sink.pass_other_logs(request.location)
        # Before the flush: what is acknowledged meanwhile need not be in the table.
        log_offset = self._log.bounds().end - 1
        position = self._sink.flush(request.location, seconds=seconds)
        return event_log_pb2.FlushTableResponse(
            epoch=position.epoch,
            offset=position.offset,
            log_offset=log_offset,
            epochs=epoch_messages(self._log.lineage()),
        )

    def RemoveUsers(
        self, request: event_log_pb2.RemoveUsersRequest, context: grpc.ServicerContext
    ) -> event_log_pb2.RemoveUsersResponse:
        """Remove the records of deleted users from one table's part of the log."""
        for field in ("location", "table_location"):
            if not getattr(request, field):
                raise invalid(field, got="", want="a folder of the store")
        seconds = min(_REMOVAL_SECONDS, context.time_remaining() / 2)
        removed = self._records.remove(
            request.location, request.table_location, after=request.after_offset, seconds=seconds
        )
        return event_log_pb2.RemoveUsersResponse(
            removed_records=removed.count, reached_offset=removed.reached_offset, is_complete=removed.is_complete
        )

    def CountUserRecords(
        self, request: event_log_pb2.CountUserRecordsRequest, context: grpc.ServicerContext
    ) -> event_log_pb2.CountUserRecordsResponse:
        """Count the records of a user in one table's part of the log."""
        if not request.table_location:
            raise invalid("table_location", got="", want="a folder of the store")
        if len(request.user) != _DIGEST_BYTES or len(request.sessions) % _DIGEST_BYTES:
            raise invalid("user, sessions", got="digests of other lengths", want=f"{_DIGEST_BYTES} bytes each")
        starts = range(0, len(request.sessions), _DIGEST_BYTES)
        sought = SoughtUser(
            user=DigestSet.of(b"", [request.user]),
            sessions=DigestSet.of(b"", (request.sessions[start : start + _DIGEST_BYTES] for start in starts)),
            deletions=[read_deletion(self._store, location) for location in request.deletion_locations],
        )
        seconds = min(_REMOVAL_SECONDS, context.time_remaining() / 2)
        counted = self._records.count(request.table_location, sought, after=request.after_offset, seconds=seconds)
        return event_log_pb2.CountUserRecordsResponse(
            records=counted.count, reached_offset=counted.reached_offset, is_complete=counted.is_complete
        )
