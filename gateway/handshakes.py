"""Accepts connections that speak TLS, and bounds those that have not shaken hands yet.

An event loop's own server hands over such a connection only after the handshake: until then nobody would count it, and
clients that never begin one would use up the file descriptors.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

__all__ = ["TlsListener"]

#: Before the next attempt to accept, when the process has as many files open as it may.
_PAUSE_SECONDS: Final = 0.1


class TlsListener:
    """Accepts on one socket, from construction until `close`; constructed inside the event loop.

    Args:
        listener: Listens already; not closed here.
        make_protocol: Returns the protocol for a new connection.
        context: Certificate and key.
        seconds: Time that a handshake may take.
        max_handshakes: Handshakes at a time; beyond them the oldest is ended in favour of the newest.
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        context: ssl.SSLContext,
        seconds: float,
        max_handshakes: int,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._context = context
        self._seconds = seconds
        self._max_handshakes = max_handshakes
        # A dictionary, for its order.
        self._handshakes: dict[asyncio.Task[None], None] = {}
        listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Stop accepting, and end handshakes; established connections stay."""
        self._accepting.cancel()
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when accepting and all handshakes have ended."""
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError:
                # Too many open files, mostly; or the client has left already.
                self._end_oldest()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = asyncio.create_task(self._shake_hands(accepted))
            self._handshakes[task] = None
            # Not in the task itself: one that is cancelled before its first step runs none of its code.
            task.add_done_callback(partial(self._ended, accepted))
            if len(self._handshakes) > self._max_handshakes:
                self._end_oldest()

    async def _shake_hands(self, accepted: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._make_protocol, accepted, ssl=self._context, ssl_handshake_timeout=self._seconds
        )

    def _end_oldest(self) -> None:
        if (oldest := next(iter(self._handshakes), None)) is not None:
            del self._handshakes[oldest]
            oldest.cancel()

    def _ended(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        # Clients without TLS, or that leave or take too long, are not logged.
        with suppress(asyncio.CancelledError, OSError):
            task.result()
            return
        accepted.close()
