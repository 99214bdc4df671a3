"""The gateway's own health: the services' states, asked for at most once a second however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.backends import BackendClients, healthy
from gateway.stopping import Stop

__all__ = ["HealthCheck"]

#: How long an answer holds.
_FRESH_SECONDS: Final = 1.0
#: How long one caller waits; a service that does not answer is given up before.
_WAIT_SECONDS: Final = 3.0


class HealthCheck:
    """Answers load balancers, who need no access key.

    Args:
        peers: Gives the open connections to the services.
        stop: Once begun, it tells proxies to go elsewhere, though the gateway still serves.
    """

    def __init__(self, peers: Callable[[], BackendClients], *, stop: Stop) -> None:
        self._peers = peers
        self._stop = stop
        self._asking: asyncio.Task[Mapping[str, str]] | None = None
        self._told_at = 0.0

    async def serve(self, _: Request) -> Response:
        """Answer 200 when this gateway and every service behind it serve, else 503."""
        if self._stop.begun.is_set():
            return JSONResponse({"status": "STOPPING"}, 503)
        states = await self._states()
        good = states is not None and healthy(states)
        return JSONResponse(
            {"status": "SERVING" if good else "NOT_SERVING", "peers": states or {}}, 200 if good else 503
        )

    async def _states(self) -> Mapping[str, str] | None:
        """Return the services' states, None when they cannot be told in time."""
        now = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or (asking.done() and now - self._told_at > _FRESH_SECONDS):
            asking = self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({asking}, timeout=_WAIT_SECONDS)
        return asking.result() if done else None

    async def _ask(self) -> Mapping[str, str]:
        try:
            return await self._peers().health()
        finally:
            self._told_at = asyncio.get_running_loop().time()
