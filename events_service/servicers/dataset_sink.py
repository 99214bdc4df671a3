"""SealingService: what trainers call before they read a dataset."""

from __future__ import annotations

import grpc

from common.errors import invalid
from events_service.dataset_sink import DatasetSink
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc

__all__ = ["SERVICE", "DatasetSinkServicer"]

SERVICE = event_log_pb2.DESCRIPTOR.services_by_name["SealingService"]
_LONGEST_SECONDS = 60.0
#: What is left of a call's time for its answer.
_ANSWER_SECONDS = 0.5


class DatasetSinkServicer(event_log_pb2_grpc.SealingServiceServicer):
    """Has events sealed at once.

    Args:
        sealer: Does it, and beside it goes on as it does without these calls.
    """

    def __init__(self, sealer: DatasetSink) -> None:
        self._sealer = sealer

    def FlushTable(
        self, request: event_log_pb2.FlushTableRequest, context: grpc.ServicerContext
    ) -> event_log_pb2.FlushTableResponse:
        """Put all events that were acknowledged before the call into a table."""
        if not request.location:
            raise invalid("location", got=request.location, want="the folder of an interactions table")
        seconds = min(_LONGEST_SECONDS, context.time_remaining() - _ANSWER_SECONDS)
        position = self._sealer.flush(request.location, seconds=seconds)
        return event_log_pb2.FlushTableResponse(epoch=position.epoch, offset=position.offset)
