"""Clients of the three services behind the gateway: channels, a stub per operation, the services' health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.auth import Caller, forwarded
from common.errors import PermissionDenied, TailorbirdError, Unauthenticated, Unavailable
from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.logs import get_logger
from common.positions import Position
from common.rpc import bare_aio_channel, call_metadata, deadline_seconds, from_rpc_error
from common.settings import TlsFiles
from gateway.protocol import Operation

__all__ = ["BACKENDS", "Answer", "BackendClients", "is_healthy"]

#: The process that serves each of botocore's services.
BACKENDS: Final[Mapping[str, str]] = {
    "personalize": "control_plane",
    "personalize-events": "events_service",
    "personalize-runtime": "runtime_service",
}
#: Connections to each, used in turn: the workers of a service share a port, and each connection is one worker's.

_CHANNELS: Final = 2
_HEALTH_TIMEOUT_SECONDS = 2.0
_SERVING = health_pb2.HealthCheckResponse.ServingStatus.Name(health_pb2.HealthCheckResponse.SERVING)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stub:
    """One operation's rpc on each of its service's channels, in turn."""

    calls: Iterator[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service has answered.

    Attributes:
        message: The response.
        event_offset: Offset of the event log that came with it; empty for none.
    """

    message: Any
    event_offset: str


class BackendClients:
    """Open channels to the services; constructed inside the event loop, and to be closed.

    Args:
        targets: `host:port` of each process in `BACKENDS`.
        operations: The operations that can be called.
        token: The gateway's own bearer token, or a function that returns the current one.
        tls: Certificates; None speaks plain text.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        *,
        operations: Iterable[Operation],
        token: Callable[[], str] | str,
        tls: TlsFiles | None = None,
    ) -> None:
        self._token = token if callable(token) else lambda: token
        self._channels = {
            backend: [bare_aio_channel(targets[backend], tls=tls) for _ in range(_CHANNELS)]
            for backend in BACKENDS.values()
        }
        self._stubs = {
            (operation.service, operation.name): _stub(operation, self._channels[BACKENDS[operation.service]])
            for operation in operations
        }

    async def call(
        self, operation: Operation, request: Message, *, caller: Caller, wait_for: Position | None = None
    ) -> Answer:
        """Perform an operation on behalf of a caller; its deadline is in the services' common configuration.

        Args:
            operation: The operation.
            request: Its request.
            caller: On whose behalf.
            wait_for: What of the event log the answer must include; None for nothing.

        Raises:
            TailorbirdError: The service's error; `Unavailable` when it could not be reached in time.
        """
        stub = self._stubs[operation.service, operation.name]
        try:
            wait = () if wait_for is None else ((WAIT_KEY, str(wait_for)),)
            metadata = call_metadata(self._token(), *forwarded(caller), *wait)
            call = next(stub.calls)(request, timeout=stub.seconds, metadata=metadata)
            message = await call
            trailing = await call.trailing_metadata()
        except (grpc.RpcError, Unauthenticated) as error:
            raise _translate(error, BACKENDS[operation.service]) from error
        return Answer(message, next((value for key, value in trailing if key == OFFSET_KEY), ""))

    async def health(self) -> dict[str, str]:
        """Return each process's state: SERVING, or the health status or status code that it has instead."""
        states = await asyncio.gather(*(self._check(backend) for backend in self._channels))
        return dict(zip(self._channels, states, strict=True))

    async def close(self, *, grace: float) -> None:
        """Close the channels after running calls had `grace` seconds."""
        await asyncio.gather(*(channel.close(grace) for opened in self._channels.values() for channel in opened))

    async def _check(self, backend: str) -> str:
        stub = health_pb2_grpc.HealthStub(self._channels[backend][0])
        try:
            self._token()  # its calls need one, though the check does not
            response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = getattr(error, "code", lambda: grpc.StatusCode.UNKNOWN)()
            return code.name
        except Unauthenticated:
            return "NO_TOKEN"  # the gateway's own token file is gone
        state: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
        return state


def _stub(operation: Operation, channels: Iterable[grpc.aio.Channel]) -> _Stub:
    method = f"/{operation.method.containing_service.full_name}/{operation.name}"
    request: Any = GetMessageClass(operation.method.input_type)
    response: Any = GetMessageClass(operation.method.output_type)
    calls = [
        channel.unary_unary(
            method, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        for channel in channels
    ]
    return _Stub(cycle(calls), deadline_seconds(method))


def is_healthy(states: Mapping[str, str]) -> bool:
    """Return whether every process serves."""
    return all(state == _SERVING for state in states.values())


def _translate(error: grpc.RpcError | Unauthenticated, backend: str) -> TailorbirdError:
    translated = error if isinstance(error, Unauthenticated) else from_rpc_error(error)
    if isinstance(translated, Unauthenticated | PermissionDenied):
        # The caller's key is valid; it is the gateway's own token that is missing or rejected.
        return TailorbirdError(f"{backend} cannot be called with this gateway's token: {translated.message}")
    if isinstance(translated, Unavailable) and not _from_service(error):
        _log.warning("backend_unavailable", backend=backend, detail=translated.message)
        return Unavailable(f"{backend} cannot be reached in time; try again")
    return translated


def _from_service(error: Any) -> bool:
    """Return whether the error comes from the service itself, not from the transport, whose text names addresses."""
    metadata = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    return any(key == "grpc-status-details-bin" for key, _ in metadata or ())
