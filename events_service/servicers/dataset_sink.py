"""SealingService: the flush that trainers call before they read a dataset."""

from __future__ import annotations

import grpc

from common.errors import invalid
from events_service.dataset_sink import DatasetSink
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc

__all__ = ["SERVICE", "DatasetSinkServicer"]

SERVICE = event_log_pb2.DESCRIPTOR.services_by_name["SealingService"]
_LONGEST_SECONDS = 60.0
#: Part of a call's time that is kept for its response.
_RESPONSE_SECONDS = 0.5


class DatasetSinkServicer(event_log_pb2_grpc.SealingServiceServicer):
    """Flushes tables at once.

    Args:
        sink: Flushes the table; its periodic flushes go on as without these calls.
    """

    def __init__(self, sink: DatasetSink) -> None:
        self._sink = sink

    def FlushTable(
        self, request: event_log_pb2.FlushTableRequest, context: grpc.ServicerContext
    ) -> event_log_pb2.FlushTableResponse:
        """Append all events that were acknowledged before the call to their table."""
        if not request.location:
            raise invalid("location", got=request.location, want="the folder of an interactions table")
        seconds = min(_LONGEST_SECONDS, context.time_remaining() - _RESPONSE_SECONDS)
        position = self._sink.flush(request.location, seconds=seconds)
        return event_log_pb2.FlushTableResponse(epoch=position.epoch, offset=position.offset)
