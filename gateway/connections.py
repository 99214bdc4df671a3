"""Bounds what one HTTP connection may use: uvicorn's protocol with limits on heads, idle time and pipelining.

uvicorn parses, calls the application and writes. It has no limit on the time or the size of a request's head, on
clients that do not read, or on pipelined requests, and its one limit on connections counts idle ones against everybody.
So idle connections are kept here in the order in which they became idle: where there are too many connections, the one
that has been idle longest is closed, and a new client is rejected only when every connection is busy.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from common.errors import TailorbirdError, Unavailable
from gateway.errors import HeadTooLarge, Malformed, RequestTimeout
from gateway.protocol import REST_JSON, fault

__all__ = ["Connection", "ConnectionLimits", "Connections", "Stop"]

#: Connections beyond the limit that are kept until their error is sent. Without this they would see a reset only.
_REJECTED_CONNECTIONS: Final = 64
#: How long a body that is not needed any more is read and discarded. A connection closed at once is reset, and the
#: reset overtakes the response.
_LINGER_SECONDS: Final = 2.0
#: Requests queued on one connection behind the one before. SDKs do not pipeline.
_MAX_PIPELINED: Final = 8


@dataclass(frozen=True, slots=True)
class Stop:
    """The orderly stop of one process: health reports it first, calls in progress end, then connections close.

    The server begins it; health and connections read it.

    Attributes:
        grace_seconds: Time that running calls get.
        drain_seconds: Time before it, in which new calls are served still, so that proxies can go elsewhere.
        begun: Set when it has begun.
    """

    grace_seconds: float
    drain_seconds: float = 0.0
    begun: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of the resources that connections use.

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
        limits: Bounds of the resources they use.
        stop: Once begun, each connection is closed with its next response.
    """

    def __init__(self, limits: ConnectionLimits, *, stop: Stop) -> None:
        self.limits = limits
        self.stop = stop
        # Dictionaries: ordered, with removal from the middle in constant time.
        self._open: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        self._rejected: dict[Connection, None] = {}

    def add(self, connection: Connection) -> None:
        """Count a new connection; beyond the limit close the longest idle one, or reject the new one."""
        self._open[connection] = None
        excess = len(self._open) - self.limits.max_connections
        if excess <= 0:
            return
        if self._idle:
            next(iter(self._idle)).drop()
            return
        connection.reject_all()
        self._rejected[connection] = None
        if excess > _REJECTED_CONNECTIONS:
            next(iter(self._rejected)).drop()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that ended, or is about to."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)
        self._rejected.pop(connection, None)

    def expire(self, now: float) -> None:
        """End what has taken too long; called periodically.

        Args:
            now: Time of the event loop, in seconds.
        """
        for connection in list(self._open):
            connection.expire(now)

    def mark_idle(self, connection: Connection) -> None:
        """Note that a connection waits for a request from now on."""
        if connection not in self._rejected:
            self._idle.pop(connection, None)
            self._idle[connection] = None

    def mark_busy(self, connection: Connection) -> None:
        """Note that a request has come."""
        self._idle.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One connection of a client, bounded in time and in what it may send.

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
        self._is_idle = True  # no request is being served
        self._receiving = False  # a request's body
        self._head_bytes = 0  # of a request's head that is not complete
        self._head_began = 0.0
        self._wait_ends = inf
        self._send_ends = inf
        self._close_ends = inf

    def expire(self, now: float) -> None:
        """End the connection if its request, its response or its client has taken too long.

        Args:
            now: Time of the event loop, in seconds.
        """
        if self.transport.is_closing():
            # The rest of the response is buffered for a client that may never read.
            self._close_ends = min(self._close_ends, now + self._limits.send_seconds)
            if now > self._close_ends:
                self.transport.abort()
        elif now > self._send_ends:
            self.drop()
        elif now > self._wait_ends:
            if not self._is_idle:
                self._respond(RequestTimeout(f"body: got none complete in {self._limits.body_seconds:g} s"))
            elif self._head_bytes:
                self._respond(RequestTimeout(f"headers: got none complete in {self._limits.header_seconds:g} s"))
            else:
                self.drop()

    def drop(self) -> None:
        """Abort the connection, whatever is left to be sent."""
        self._all.remove(self)
        self.transport.abort()

    def reject_all(self) -> None:
        """Respond to every request that there are too many connections."""
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
        """Parse what came; the time and the size of a head are bounded."""
        if self.transport.is_closing():
            return
        if not self._receiving:
            self._head_began = self._head_began if self._head_bytes else self.loop.time()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._receiving or self.transport.is_closing():
            return
        if self._head_bytes > self._limits.max_header_bytes:
            self._reject_head()
        elif self._is_idle and self._head_bytes:
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
        """Abort an idle connection; one whose client does not read would never close by itself."""
        self.drop()

    # What the parser calls

    def on_headers_complete(self) -> None:
        """Hand a request on, unless its head is too large or too many are queued."""
        if len(self.pipeline) >= _MAX_PIPELINED:
            self.drop()
            raise Malformed("connection: got too many requests ahead of their answers")
        if self._head_bytes > self._limits.max_header_bytes:
            # Those bytes may be of the body that came along.
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self._limits.max_header_bytes:
                self._reject_head()
                raise Malformed("headers: got too many")
        super().on_headers_complete()
        # Its task, which writes, runs later.
        self.cycle.transport = _HeadWithBody(self.transport, self.loop)
        self._is_idle = False
        self._receiving = True
        self._head_bytes = 0
        self._wait_ends = self.loop.time() + self._limits.body_seconds
        self._all.mark_busy(self)
        if self._all.stop.begun.is_set():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that a request is complete; wait for the next one if it has its response already."""
        super().on_message_complete()
        self._receiving = False
        self._head_bytes = 0
        self._wait_ends = inf
        if self._is_idle:
            self._wait(self._limits.keep_alive_seconds)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of one whose response came before its body."""
        has_queued = bool(self.pipeline)
        super().on_response_complete()
        if not has_queued and not self.transport.is_closing():
            self._wait(_LINGER_SECONDS if self._receiving else self._limits.keep_alive_seconds)

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP."""
        self._respond(Malformed(f"request: got no HTTP/1.1 that can be read ({msg.rstrip('.')})"))

    def _wait(self, seconds: float) -> None:
        self._is_idle = True
        self._wait_ends = self.loop.time() + seconds
        if self._head_bytes:
            self._wait_ends = min(self._wait_ends, self._head_began + self._limits.header_seconds)
        self._all.mark_idle(self)

    def _reject_head(self) -> None:
        self._respond(HeadTooLarge(f"headers: got more than {self._limits.max_header_bytes} bytes, want fewer"))

    def _respond(self, error: TailorbirdError) -> None:
        """Send an error and close; when another response is being sent, only close."""
        if self.transport.is_closing():
            return
        if not self._is_idle:
            if self.pipeline or not self._receiving or self.cycle.response_started:
                self.drop()
                return
            self.cycle.disconnected = True  # this response is for the request whose body cannot be read
            self.cycle.message_event.set()
        status, headers, body = _on_the_wire(error)
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


class _HeadWithBody(asyncio.Transport):
    """Writes an answer's head together with its body: uvicorn writes them one by one, each a system call.

    Args:
        transport: The connection's.
        loop: Its event loop; a head whose body comes later is written when the loop's present round is over.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._flushing: asyncio.Handle | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hold the first bytes, write what follows with them."""
        if self._flushing is None:
            self._held, self._flushing = bytes(data), self._loop.call_soon(self._flush)
        elif self._held is None:
            self._transport.write(data)
        else:
            self._transport.write(self._held + data)
            self._held = None

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection closes."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)


def _on_the_wire(error: TailorbirdError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    response = fault(error, protocol=REST_JSON, modelled={})
    headers = {
        **response.headers,
        "x-amzn-requestid": str(uuid.uuid4()),
        "content-length": str(len(response.body)),
        "connection": "close",
    }
    return response.status, [(name.encode(), value.encode()) for name, value in headers.items()], response.body


async def _too_many_connections(_scope: Any, _receive: Any, send: Any) -> None:
    status, headers, body = _on_the_wire(Unavailable("too many connections are open; try again"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
