"""Flushes acknowledged records into a dataset before it is read, so that nothing is missing."""

from __future__ import annotations

import threading
import time
from typing import Final

import grpc

from common.errors import OperationUnavailable, TailorbirdError, Unavailable
from common.logs import get_logger
from common.process.backoff import Backoff, BackoffPolicy
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc
from trainer.worker import JobContext
from trainer.worker.queue import is_retryable

__all__ = ["RemoteFlusher"]

_log = get_logger(__name__)
_CALL_SECONDS = 60.0
_BACKOFF: Final = BackoffPolicy(first_seconds=0.5, longest_seconds=10.0)


class RemoteFlusher:
    """Asks the events service to flush a table, by the RPC `SealingService.FlushTable`.

    Args:
        channel: To the events service.
        patience_seconds: For how long a service that cannot be reached is called again before the job fails.
    """

    def __init__(self, channel: grpc.Channel, *, patience_seconds: float = 300.0) -> None:
        self._stub = event_log_pb2_grpc.SealingServiceStub(channel)
        self._patience_seconds = patience_seconds

    def flush(self, location: str, context: JobContext) -> None:
        """Return when all acknowledged records are in the table; see `trainer.flushing.Flusher`."""
        until = time.monotonic() + self._patience_seconds
        backoff, ending = Backoff(_BACKOFF), threading.Event()
        while True:
            try:
                return self._flush(location, context)
            except TailorbirdError as error:
                context.check()
                # An events service that does not know the call is of an older version, and about to be replaced.
                if not is_retryable(error) and not isinstance(error, OperationUnavailable):
                    raise
                pause = backoff.failed()
                if time.monotonic() + pause > until:
                    raise Unavailable(f"events_service: the latest records cannot be had: {error.message}") from error
                _log.warning("flush_delayed", location=location, message=error.message)
            with context.on_cancel(ending.set):
                ending.wait(pause)
            context.check()

    def _flush(self, location: str, context: JobContext) -> None:
        call = self._stub.FlushTable.future(event_log_pb2.FlushTableRequest(location=location), timeout=_CALL_SECONDS)
        try:
            with context.on_cancel(call.cancel):
                call.result()
        except grpc.FutureCancelledError as error:
            raise Unavailable("the call was cancelled") from error
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
