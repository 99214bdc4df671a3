"""Has the events service remove deleted users from its log and from runtimes, and count a user's records."""

from __future__ import annotations

from collections.abc import Sequence

from protos.tailorbird.internal.v1 import event_log_pb2
from trainer.flushing.calls import SealingCalls
from trainer.worker import JobContext

__all__ = ["RemoteRecordCounter", "RemoteUserRemover"]


class RemoteUserRemover:
    """Asks by the RPC `SealingService.RemoveUsers`, again and again until a table is done.

    Args:
        calls: To the events service.
    """

    def __init__(self, calls: SealingCalls) -> None:
        self._calls = calls

    def remove(self, location: str, table_location: str, context: JobContext) -> int:
        """Remove the records of a table; see `trainer.deletions.handler.UserRemover`."""
        removed, done_to = 0, 0
        while True:
            context.check()
            request = event_log_pb2.RemoveUsersRequest(
                location=location, table_location=table_location, after_offset=done_to
            )
            failure = "the users cannot be removed from the event log"
            response = self._calls.call("RemoveUsers", request, context, failure=failure)
            removed, done_to = removed + int(response.removed_records), int(response.reached_offset)
            if response.is_complete:
                return removed


class RemoteRecordCounter:
    """Asks by the RPC `SealingService.CountUserRecords`, again and again until a table is done.

    Args:
        calls: To the events service.
    """

    def __init__(self, calls: SealingCalls) -> None:
        self._calls = calls

    def count(
        self, table_location: str, user: bytes, *, sessions: bytes, deletions: Sequence[str], context: JobContext
    ) -> int:
        """Count the user's records of a table; see `trainer.deletions.search.RecordCounter`."""
        counted, done_to = 0, 0
        while True:
            context.check()
            request = event_log_pb2.CountUserRecordsRequest(
                table_location=table_location,
                user=user,
                sessions=sessions,
                deletion_locations=deletions,
                after_offset=done_to,
            )
            failure = "the event log cannot be asked for the user"
            response = self._calls.call("CountUserRecords", request, context, failure=failure)
            counted, done_to = counted + int(response.records), int(response.reached_offset)
            if response.is_complete:
                return counted
