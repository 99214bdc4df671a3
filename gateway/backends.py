"""The three services behind the gateway: one channel each, one ready-made call per operation, their health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import PermissionDenied, TailorbirdError, Unauthenticated, Unavailable
from common.logs import get_logger
from common.rpc import aio_channel, from_rpc_error
from common.settings import TlsFiles
from gateway.protocol import CONTRACTS, Operation

__all__ = ["PEERS", "BackendClients"]

#: botocore's name of a service, and the process that answers it.
PEERS: Final[Mapping[str, str]] = {
    "personalize": "control_plane",
    "personalize-events": "events_service",
    "personalize-runtime": "runtime_service",
}
_HEALTH_TIMEOUT_SECONDS = 2.0
_SERVING = health_pb2.HealthCheckResponse.ServingStatus.Name(health_pb2.HealthCheckResponse.SERVING)

_log = get_logger(__name__)


class BackendClients:
    """Open connections to the services; to be made inside of the event loop, and closed.

    Args:
        targets: `host:port` by the peer's name, see `PEERS`.
        operations: What will be called.
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
        self._channels = {peer: aio_channel(targets[peer], token=token, tls=tls) for peer in PEERS.values()}
        self._calls: dict[tuple[str, str], Any] = {}
        for operation in operations:
            request: Any = GetMessageClass(operation.method.input_type)
            response: Any = GetMessageClass(operation.method.output_type)
            self._calls[operation.service, operation.name] = self._channels[PEERS[operation.service]].unary_unary(
                f"/{CONTRACTS[operation.service].full_name}/{operation.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

    async def call(self, operation: Operation, request: Message) -> Any:
        """Perform an operation; its deadline is in the services' common configuration.

        Raises:
            TailorbirdError: What the service answered; `Unavailable` when it could not be reached in time.
        """
        try:
            return await self._calls[operation.service, operation.name](request)
        except (grpc.RpcError, Unauthenticated) as error:
            raise _translate(error, PEERS[operation.service]) from error

    async def health(self) -> dict[str, str]:
        """Return each peer's state: SERVING, or why not."""
        states = await asyncio.gather(*(self._check(peer) for peer in self._channels))
        return dict(zip(self._channels, states, strict=True))

    async def close(self, *, grace: float) -> None:
        """Close the channels after running calls had `grace` seconds."""
        await asyncio.gather(*(channel.close(grace) for channel in self._channels.values()))

    async def _check(self, peer: str) -> str:
        stub = health_pb2_grpc.HealthStub(self._channels[peer])
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = getattr(error, "code", lambda: grpc.StatusCode.UNKNOWN)()
            return code.name
        except Unauthenticated:
            return "NO_TOKEN"  # the gateway has none to show: its token file is gone
        state: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return state


def healthy(states: Mapping[str, str]) -> bool:
    """Tell whether every peer serves."""
    return all(state == _SERVING for state in states.values())


def _translate(error: grpc.RpcError | Unauthenticated, peer: str) -> TailorbirdError:
    known = error if isinstance(error, Unauthenticated) else from_rpc_error(error)
    if isinstance(known, Unauthenticated | PermissionDenied):
        # The caller has shown a good key; it is the gateway's own token that is missing or refused.
        return TailorbirdError(f"{peer} cannot be called with this gateway's token: {known.message}")
    if isinstance(known, Unavailable) and not _from_service(error):
        _log.warning("peer_unavailable", peer=peer, detail=known.message)
        return Unavailable(f"{peer} cannot be reached in time; try again")
    return known


def _from_service(error: Any) -> bool:
    """Tell whether the service itself said so, and not the transport, whose text names addresses."""
    metadata = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    return any(key == "grpc-status-details-bin" for key, _ in metadata or ())
