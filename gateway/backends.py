"""Clients of the three services behind the gateway: a channel each, a stub per operation, their health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.auth import Caller, forwarded
from common.errors import PermissionDenied, TailorbirdError, Unauthenticated, Unavailable
from common.logs import get_logger
from common.rpc import aio_channel, from_rpc_error
from common.settings import TlsFiles
from gateway.protocol import CONTRACTS, Operation

__all__ = ["BACKENDS", "BackendClients", "is_healthy"]

#: The process that serves each of botocore's services.
BACKENDS: Final[Mapping[str, str]] = {
    "personalize": "control_plane",
    "personalize-events": "events_service",
    "personalize-runtime": "runtime_service",
}
_HEALTH_TIMEOUT_SECONDS = 2.0
_SERVING = health_pb2.HealthCheckResponse.ServingStatus.Name(health_pb2.HealthCheckResponse.SERVING)

_log = get_logger(__name__)


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
        self._channels = {backend: aio_channel(targets[backend], token=token, tls=tls) for backend in BACKENDS.values()}
        self._calls: dict[tuple[str, str], Any] = {}
        for operation in operations:
            request: Any = GetMessageClass(operation.method.input_type)
            response: Any = GetMessageClass(operation.method.output_type)
            self._calls[operation.service, operation.name] = self._channels[BACKENDS[operation.service]].unary_unary(
                f"/{CONTRACTS[operation.service].full_name}/{operation.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

    async def call(self, operation: Operation, request: Message, *, caller: Caller) -> Any:
        """Perform an operation on behalf of a caller; its deadline is in the services' common configuration.

        Raises:
            TailorbirdError: The service's error; `Unavailable` when it could not be reached in time.
        """
        try:
            return await self._calls[operation.service, operation.name](request, metadata=forwarded(caller))
        except (grpc.RpcError, Unauthenticated) as error:
            raise _translate(error, BACKENDS[operation.service]) from error

    async def health(self) -> dict[str, str]:
        """Return each process's state: SERVING, or the health status or status code that it has instead."""
        states = await asyncio.gather(*(self._check(backend) for backend in self._channels))
        return dict(zip(self._channels, states, strict=True))

    async def close(self, *, grace: float) -> None:
        """Close the channels after running calls had `grace` seconds."""
        await asyncio.gather(*(channel.close(grace) for channel in self._channels.values()))

    async def _check(self, backend: str) -> str:
        stub = health_pb2_grpc.HealthStub(self._channels[backend])
        try:
            response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = getattr(error, "code", lambda: grpc.StatusCode.UNKNOWN)()
            return code.name
        except Unauthenticated:
            return "NO_TOKEN"  # the gateway's own token file is gone
        state: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
        return state


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
