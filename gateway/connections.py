"""What one HTTP connection may cost: uvicorn's protocol with limits on its head, its idleness and its pipelining.

uvicorn parses, calls the application and writes. It has no limit on the time or the size of a request's head, on
clients that do not read, or on pipelined requests, and its one limit on connections counts idle ones against everybody.
So connections are kept here in the order in which they began to wait: where there are too many, the one that has waited
longest for a request makes room, and a new client is refused only when every connection is at work.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from common.errors import TailorbirdError, Unavailable
from gateway.errors import HeadTooLarge, Malformed, RequestTimeout
from gateway.protocol import REST_JSON, fault
from gateway.stopping import Stop

__all__ = ["Connection", "ConnectionLimits", "Connections"]

#: Connections beyond the limit that are kept a moment, to be told so. Without this they would see a reset only.
_REFUSED_CONNECTIONS: Final = 64
#: How long a body is read and thrown away that nobody wants any more. A connection closed at once is reset, and the
#: reset overtakes the answer.
_LINGER_SECONDS: Final = 2.0
#: Requests that wait on one connection for the one before. SDKs send none ahead.
_MAX_PIPELINED: Final = 8


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may cost.

    Attributes:
        max_connections: Open at a time.
        max_header_bytes: Size of a request's line and headers.
        header_seconds: From the start of a connection, or of a request on it, to the end of its headers; with TLS also
            for the handshake before.
        body_seconds: From the end of a request's headers to the end of its body.
        send_seconds: How long a client may let an answer wait without reading.
        keep_alive_seconds: How long an idle connection is kept for the next request.
    """

    max_connections: int = 2000
    max_header_bytes: int = 32 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    send_seconds: float = 30.0
    # Longer than SDKs keep an idle connection, so that none is closed under a request that is just being sent.
    keep_alive_seconds: int = 75


class Connections:
    """All connections of a server; used from its event loop.

    Args:
        limits: What they may cost.
        stop: Once begun, each connection is closed with its next answer.
    """

    def __init__(self, limits: ConnectionLimits, *, stop: Stop) -> None:
        self.limits = limits
        self.stop = stop
        # Dictionaries keep the order, and take out of the middle at no cost.
        self._open: dict[Connection, None] = {}
        self._waiting: dict[Connection, None] = {}
        self._refused: dict[Connection, None] = {}

    def add(self, connection: Connection) -> None:
        """Count a new connection, and let another go when there are too many."""
        self._open[connection] = None
        excess = len(self._open) - self.limits.max_connections
        if excess <= 0:
            return
        if self._waiting:
            next(iter(self._waiting)).drop()
            return
        connection.refuse_all()
        self._refused[connection] = None
        if excess > _REFUSED_CONNECTIONS:
            next(iter(self._refused)).drop()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that ended, or is about to."""
        self._open.pop(connection, None)
        self._waiting.pop(connection, None)
        self._refused.pop(connection, None)

    def expire(self, now: float) -> None:
        """End what has taken too long; called again and again.

        Args:
            now: Time of the event loop, in seconds.
        """
        for connection in list(self._open):
            connection.expire(now)

    def begin_waiting(self, connection: Connection) -> None:
        """Note that a connection waits for a request from now on."""
        if connection not in self._refused:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def end_waiting(self, connection: Connection) -> None:
        """Note that a request has come."""
        self._waiting.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One connection.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        connections: All of the server.
    """

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, connections: Connections
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self._all = connections
        self._limits = connections.limits
        self._idle = True  # no request is being answered
        self._receiving = False  # a request's body
        self._head_bytes = 0  # of a request's head that is not complete
        self._head_began = 0.0
        self._wait_ends = inf
        self._send_ends = inf
        self._close_ends = inf

    def expire(self, now: float) -> None:
        """End the connection, or what is expected of it, if it has taken too long.

        Args:
            now: Time of the event loop, in seconds.
        """
        if self.transport.is_closing():
            # What is left to be sent waits for a client that may never read.
            self._close_ends = min(self._close_ends, now + self._limits.send_seconds)
            if now > self._close_ends:
                self.transport.abort()
        elif now > self._send_ends:
            self.drop()
        elif now > self._wait_ends:
            if not self._idle:
                self._answer(RequestTimeout(f"body: got none complete in {self._limits.body_seconds:g} s"))
            elif self._head_bytes:
                self._answer(RequestTimeout(f"headers: got none complete in {self._limits.header_seconds:g} s"))
            else:
                self.drop()

    def drop(self) -> None:
        """Cut the connection, whatever waits to be sent."""
        self._all.remove(self)
        self.transport.abort()

    def refuse_all(self) -> None:
        """Answer that there are too many connections, whatever is asked."""
        self.app = _too_many_connections

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._all.add(self)
        self._wait(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._all.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head is not waited for without end, and not of any size."""
        if self.transport.is_closing():
            return
        if not self._receiving:
            self._head_began = self._head_began if self._head_bytes else self.loop.time()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._receiving or self.transport.is_closing():
            return
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse_head()
        elif self._idle and self._head_bytes:
            self._wait_ends = min(self._wait_ends, self._head_began + self._limits.header_seconds)

    def pause_writing(self) -> None:
        """Note since when the client does not read."""
        super().pause_writing()
        self._send_ends = self.loop.time() + self._limits.send_seconds

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        self._send_ends = inf

    def timeout_keep_alive_handler(self) -> None:
        """Cut an idle connection; one whose client does not read would never close by itself."""
        self.drop()

    # What the parser calls

    def on_headers_complete(self) -> None:
        """Hand a request on, unless it is too large or too many wait for an answer."""
        if len(self.pipeline) >= _MAX_PIPELINED:
            self.drop()
            raise Malformed("connection: got too many requests ahead of their answers")
        if self._head_bytes > self._limits.max_header_bytes:
            # Those bytes may be of the body that came along.
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self._limits.max_header_bytes:
                self._refuse_head()
                raise Malformed("headers: got too many")
        super().on_headers_complete()
        self._idle = False
        self._receiving = True
        self._head_bytes = 0
        self._wait_ends = self.loop.time() + self._limits.body_seconds
        self._all.end_waiting(self)
        if self._all.stop.begun.is_set():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that a request has come whole; the next may, when it is answered already."""
        super().on_message_complete()
        self._receiving = False
        self._head_bytes = 0
        self._wait_ends = inf
        if self._idle:
            self._wait(self._limits.keep_alive_seconds)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of one that was answered before it had come."""
        more = bool(self.pipeline)
        super().on_response_complete()
        if not more and not self.transport.is_closing():
            self._wait(_LINGER_SECONDS if self._receiving else self._limits.keep_alive_seconds)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._answer(Malformed(f"request: got no HTTP/1.1 that can be read ({msg.rstrip('.')})"))

    def _wait(self, seconds: float) -> None:
        self._idle = True
        self._wait_ends = self.loop.time() + seconds
        if self._head_bytes:
            self._wait_ends = min(self._wait_ends, self._head_began + self._limits.header_seconds)
        self._all.begin_waiting(self)

    def _refuse_head(self) -> None:
        self._answer(HeadTooLarge(f"headers: got more than {self._limits.max_header_bytes} bytes, want fewer"))

    def _answer(self, error: TailorbirdError) -> None:
        """Send an error and close; when another answer is on its way, only close."""
        if self.transport.is_closing():
            return
        if not self._idle:
            if self.pipeline or not self._receiving or self.cycle.response_started:
                self.drop()
                return
            self.cycle.disconnected = True  # it is this request, whose body cannot be read, that is answered here
            self.cycle.message_event.set()
        status, headers, body = _on_the_wire(error)
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


def _on_the_wire(error: TailorbirdError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    answer = fault(error, protocol=REST_JSON, modelled={})
    headers = {
        **answer.headers,
        "x-amzn-requestid": str(uuid.uuid4()),
        "content-length": str(len(answer.body)),
        "connection": "close",
    }
    return answer.status, [(name.encode(), value.encode()) for name, value in headers.items()], answer.body


async def _too_many_connections(_scope: Any, _receive: Any, send: Any) -> None:
    status, headers, body = _on_the_wire(Unavailable("too many connections are open; try again"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
