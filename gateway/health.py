"""The gateway's own health: the backends' states, checked at most once a second however many callers ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.backends import BackendClients, is_healthy
from gateway.connections import Stop

__all__ = ["HealthCheck"]

#: How long a result is reused.
_FRESH_SECONDS: Final = 1.0
#: How long one caller waits; longer than the check of a service that does not respond.
_WAIT_SECONDS: Final = 3.0


class HealthCheck:
    """Responds to load balancers, which need no access key.

    Args:
        backends: Returns the open clients.
        stop: Once begun, the response makes proxies go elsewhere, though the gateway still serves.
        all_started: Whether every process of this gateway has started.
    """

    def __init__(self, backends: Callable[[], BackendClients], *, stop: Stop, all_started: Callable[[], bool]) -> None:
        self._backends = backends
        self._stop = stop
        self._all_started = all_started
        self._check: asyncio.Task[Mapping[str, str]] | None = None
        self._checked_at = 0.0

    async def serve(self, _: Request) -> Response:
        """Respond with 200 when all of this gateway and every backend serve, else with 503."""
        if self._stop.begun.is_set():
            return JSONResponse({"status": "STOPPING"}, 503)
        if not self._all_started():
            return JSONResponse({"status": "STARTING"}, 503)
        states = await self._states()
        serving = states is not None and is_healthy(states)
        return JSONResponse(
            {"status": "SERVING" if serving else "NOT_SERVING", "peers": states or {}}, 200 if serving else 503
        )

    async def _states(self) -> Mapping[str, str] | None:
        """Return the backends' states; None when they are not known in time."""
        now = asyncio.get_running_loop().time()
        check = self._check
        if check is None or (check.done() and now - self._checked_at > _FRESH_SECONDS):
            check = self._check = asyncio.create_task(self._check_backends())
        done, _ = await asyncio.wait({check}, timeout=_WAIT_SECONDS)
        return check.result() if done else None

    async def _check_backends(self) -> Mapping[str, str]:
        try:
            return await self._backends().health()
        finally:
            self._checked_at = asyncio.get_running_loop().time()
