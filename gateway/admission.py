"""Bounds what the gateway works on at a time: calls in flight, bytes of bodies.

Beyond these a request is rejected at once. Queued instead, every caller would wait for all before it, give up, and
retry: work done for callers who left is what keeps an overloaded service from recovering.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from common.errors import Throttled
from common.logs import get_logger
from gateway.errors import RequestTooLarge

__all__ = ["Admission", "CallLimits"]

_LOG_SECONDS: Final = 1.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of the resources that requests use.

    Attributes:
        max_calls_in_flight: Calls worked on at a time for each service; one that hangs uses up no other's share.
        max_body_bytes: Size of one body.
        max_buffered_bytes: Size of all bodies that are being received or worked on, together.
    """

    max_calls_in_flight: int = 128
    max_body_bytes: int = 4 * 1024 * 1024
    max_buffered_bytes: int = 64 * 1024 * 1024


class Admission:
    """Counts calls and bytes; used from one event loop.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._calls: Counter[str] = Counter()
        self._bytes = 0
        self._rejected = 0
        self._logged_at = -inf

    def check(self, service: str) -> None:
        """Reject a call that is beyond the limit, before anything was done for it.

        Raises:
            Throttled: Too many calls are in flight.
        """
        if self._calls[service] >= self._limits.max_calls_in_flight:
            raise self._throttled(service)

    @contextmanager
    def call(self, service: str) -> Iterator[None]:
        """Count a call while it is worked on.

        Raises:
            Throttled: Too many calls are in flight.
        """
        self.check(service)
        self._calls[service] += 1
        try:
            yield
        finally:
            self._calls[service] -= 1

    async def receive(self, receive: Receive, *, declared: int) -> bytes:
        """Return a request's body, whose bytes count until `release`; the server bounds how long that takes.

        Args:
            receive: ASGI's.
            declared: Size by the request's headers; 0 when they say none.

        Raises:
            RequestTooLarge: The body is too large.
            Throttled: All bodies together are too large.
            ClientDisconnect: The client left, or took too long.
        """
        if declared > self._limits.max_body_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                body += chunk
                self._bytes += len(chunk)
                if len(body) > self._limits.max_body_bytes:
                    raise self._too_large()
                if self._bytes > self._limits.max_buffered_bytes:
                    raise self._throttled("bodies")
                if not message.get("more_body", False):
                    return bytes(body)
        except BaseException:
            self.release(body)
            raise

    def release(self, body: Sized) -> None:
        """Count a body's bytes no longer."""
        self._bytes -= len(body)

    def _too_large(self) -> RequestTooLarge:
        limit = self._limits.max_body_bytes
        return RequestTooLarge(f"body: got more than {limit} bytes, want at most that many")

    def _throttled(self, what: str) -> Throttled:
        """Return the error, and log at most one line a second: one for each would add to the load."""
        self._rejected += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at > _LOG_SECONDS:
            _log.warning("throttled", of=what, rejected=self._rejected)
            self._logged_at = now
            self._rejected = 0
        return Throttled("Rate exceeded")  # AWS's words
