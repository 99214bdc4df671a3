"""Calls of the events service, which are repeated while it cannot be reached and cancelled when the job must end."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import grpc

from common.errors import OperationUnavailable, TailorbirdError, Unavailable
from common.logs import get_logger
from common.process.backoff import Backoff, BackoffPolicy
from common.rpc import from_rpc_error
from protos.tailorbird.internal.v1 import event_log_pb2_grpc
from trainer.worker import JobContext, is_retryable

__all__ = ["SealingCalls"]

_log = get_logger(__name__)
_CALL_SECONDS = 60.0
_BACKOFF: Final = BackoffPolicy(first_seconds=0.5, longest_seconds=10.0)


class SealingCalls:
    """Calls `SealingService`.

    Args:
        channel: To the events service.
        patience_seconds: For how long a service that cannot be reached is called again before the job fails.
    """

    def __init__(self, channel: grpc.Channel, *, patience_seconds: float = 300.0) -> None:
        self._stub = event_log_pb2_grpc.SealingServiceStub(channel)
        self._patience_seconds = patience_seconds

    def call(self, method: str, request: Any, context: JobContext, *, failure: str) -> Any:
        """Return the response of a method.

        Args:
            method: Name of the RPC, e.g. `FlushTable`.
            request: Its request.
            context: Cancels the call when the job must end.
            failure: What is not to be had when all is in vain, for the error.

        Raises:
            Unavailable: The events service cannot be reached, or cannot do it.
            JobCancelled: The job must end.
            TailorbirdError: It refuses.
        """
        until = time.monotonic() + self._patience_seconds
        backoff, ending = Backoff(_BACKOFF), threading.Event()
        while True:
            try:
                return self._call(method, request, context)
            except TailorbirdError as error:
                context.check()
                # An events service that does not know the call is of an older version, and about to be replaced.
                if not is_retryable(error) and not isinstance(error, OperationUnavailable):
                    raise
                pause = backoff.failed()
                if time.monotonic() + pause > until:
                    raise Unavailable(f"events_service: {failure}: {error.message}") from error
                _log.warning("events_service_delays", method=method, message=error.message)
            with context.on_cancel(ending.set):
                ending.wait(pause)
            context.check()

    def _call(self, method: str, request: Any, context: JobContext) -> Any:
        call = getattr(self._stub, method).future(request, timeout=_CALL_SECONDS)
        try:
            with context.on_cancel(call.cancel):
                return call.result()
        except grpc.FutureCancelledError as error:
            raise Unavailable("the call was cancelled") from error
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
