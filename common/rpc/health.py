"""The health service of a server (`grpc.health.v1`).

Not the library's asynchronous servicer, because there a change of state waits until every watcher has read the last
one: a single watcher that never reads would keep a process from becoming ready, or from stopping.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import ResourceNotFound, Unavailable
from common.process.long_poll import ChangeNotifier

__all__ = ["Health"]

_State = health_pb2.HealthCheckResponse
#: Watchers are woken by changes; this only bounds what a lost notification would cost.
_LOOK_SECONDS: Final = 60.0


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # no stubs
    """One state for all services, since they are in one process, and one for each part that has set its own.

    Args:
        names: Full names of the services; the empty name, for the server, is always there.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names) | {""}
        self._parts: dict[str, bool] = {}
        self._serving = False
        self._stopping = False
        self._changed = ChangeNotifier()

    def set(self, *, serving: bool) -> None:
        """Change the state, from any thread; without effect once the server stops."""
        self._serving = serving and not self._stopping
        self._changed.notify()

    def set_part(self, name: str, *, serving: bool) -> None:
        """Change the state of one part, from any thread."""
        self._parts[name] = serving
        self._changed.notify()

    def stop(self) -> None:
        """Set NOT_SERVING permanently, and end the watches after that."""
        self._stopping = True
        self.set(serving=False)

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC passes a context to every method
    ) -> health_pb2.HealthCheckResponse:
        """Return the state of a service.

        Raises:
            ResourceNotFound: This server has no such service.
        """
        state = self._state(request.service)
        if state == _State.SERVICE_UNKNOWN:
            raise ResourceNotFound(f"`service`: got {request.service[:120]!r}, want a service that is served here")
        return _State(status=state)

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC passes a context to every method
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yield the state of a service whenever it changes; SERVICE_UNKNOWN for an unknown one.

        Raises:
            Unavailable: The server stops.
        """
        last = None
        while True:
            changes = self._changed.changes
            state = self._state(request.service)
            if state != last:
                yield _State(status=state)
                last = state
            elif self._stopping:
                raise Unavailable("service: it is stopping, want another process or a later attempt")
            else:
                await self._changed.wait(changes, seconds=_LOOK_SECONDS)

    def _state(self, name: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        if name not in self._names and name not in self._parts:
            return _State.SERVICE_UNKNOWN
        serving = self._parts.get(name, self._serving) and not self._stopping
        return _State.SERVING if serving else _State.NOT_SERVING
