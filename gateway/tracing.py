"""Traces of the gateway: a span for each request, which the services that it calls continue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.telemetry import TRACEPARENT, Tracer, bind, unbind
from gateway.protocol import REST_JSON, Operation

__all__ = ["TracedApp"]

_HEADER: Final = TRACEPARENT.encode()
_TARGET: Final = b"x-amz-target"
_FAULT: Final = 500


class TracedApp:
    """An application whose requests are traced.

    Args:
        app: Answers.
        tracer: Of the process.
        operations: Their names are those of the spans; other requests are `unknown`.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, operations: Iterable[Operation]) -> None:
        self._app = app
        self._tracer = tracer
        self._names: Mapping[bytes, str] = {
            (one.path if one.protocol == REST_JSON else one.target).encode(): one.name for one in operations
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span; probes have none."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        name = self._names.get(headers.get(_TARGET, b"")) or self._names.get(scope["path"].encode(), "unknown")
        parent = headers.get(_HEADER, b"").decode("latin-1")
        current = self._tracer.begin(name, parent=parent, serves=True)
        token, status = bind(current), 0

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            unbind(token)
            error: Any = f"HTTP {status}" if status >= _FAULT or not status else ""
            current.end(error=error, http__response__status_code=str(status))
