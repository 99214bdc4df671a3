"""LocalStorageService: what the event log takes on this machine."""

from __future__ import annotations

import socket

import grpc

from events_service.log import EventLog
from protos.tailorbird.internal.v1 import local_storage_pb2, local_storage_pb2_grpc

__all__ = ["SERVICE", "LocalStorageServicer"]

SERVICE = local_storage_pb2.DESCRIPTOR.services_by_name["LocalStorageService"]


class LocalStorageServicer(local_storage_pb2_grpc.LocalStorageServiceServicer):
    """Tells operators how large the log is.

    Args:
        log: The log.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def DescribeLocalStorage(
        self,
        request: local_storage_pb2.DescribeLocalStorageRequest,  # noqa: ARG002 - nothing to choose
        context: grpc.ServicerContext,  # noqa: ARG002 - gRPC passes a context to every method
    ) -> local_storage_pb2.DescribeLocalStorageResponse:
        """Return what the log takes."""
        usage = self._log.usage()
        part = local_storage_pb2.LocalStorage(
            name="event log", bytes=usage.bytes, files=usage.files, records=usage.records
        )
        if usage.oldest is not None:
            part.oldest_record_at.FromDatetime(usage.oldest)
        return local_storage_pb2.DescribeLocalStorageResponse(host=socket.gethostname(), parts=[part])
