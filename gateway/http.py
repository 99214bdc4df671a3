"""The gateway's HTTP server: uvicorn, with the binding, readiness and stop of our processes, in each worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from common.errors import InvalidInput, Unavailable
from common.logs import get_logger
from common.process.lifecycle import raise_open_files
from common.rpc.certificates import read_certificates
from common.settings import TlsFiles
from gateway.connections import Connection, ConnectionLimits, Connections, Stop
from gateway.handshakes import TlsListener

__all__ = ["HttpServer", "check_certificate"]

_BACKLOG = 2048
#: File descriptors for other things than connections: libraries, logs, channels to backends, rejected connections.
_OTHER_FILES: Final = 256
#: How often connections are checked for expiry, in tenths of a second.
_SWEEP_TICKS: Final = 5

_log = get_logger(__name__)


class HttpServer:
    """Serves an application on one address.

    Args:
        app: The ASGI application.
        address: `host:port`; port 0 picks a free one, read it back from `port`.
        limits: Bounds of the resources that connections use.
        stop: The process's stop.
        tls: Certificate and key make it HTTPS; without both it is plain text.
        shared: Others of `common.process.shared_port` may listen on the same port.
        on_started: Called once connections are accepted.

    Raises:
        InvalidInput: The address cannot be bound.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        address: str,
        limits: ConnectionLimits,
        stop: Stop,
        tls: TlsFiles | None = None,
        shared: bool = False,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG, reuse_port=shared)
        except (OSError, ValueError, OverflowError) as error:
            raise InvalidInput(
                f"`listen`: got {address}, which cannot be bound ({error}), want a free HOST:PORT"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._stop = stop
        self._server = _Server(
            uvicorn.Config(
                app,
                interface="asgi3",
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=limits.keep_alive_seconds,
                timeout_graceful_shutdown=max(1, round(stop.grace_seconds)),
                ssl_certfile=tls.cert_file if tls and tls.key_file else None,
                ssl_keyfile=tls.key_file if tls and tls.cert_file else None,
            ),
            port=self.port,
            on_started=on_started,
            connections=Connections(_within_file_limit(limits, handshakes=tls is not None), stop=stop),
        )

    @property
    def started(self) -> bool:
        """Whether requests are being taken."""
        return self._server.started

    async def run(self) -> None:
        """Serve until `stop` is called, and running requests are over."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no new requests; from the event loop's thread or any other."""
        self._server.should_exit = True

    async def run_until_cancelled(self) -> None:
        """Serve until cancelled; then report the stop while proxies go elsewhere, and let running requests end.

        Raises:
            Unavailable: The application did not start; its error is in the log.
        """
        serving = asyncio.create_task(self.run())
        try:
            await asyncio.wait([serving])
        finally:
            if not serving.done():
                await self._drain()
            self.stop()
            await serving
        if not self._server.started:
            raise Unavailable("gateway: the application did not start")

    async def _drain(self) -> None:
        """Begin the stop, and serve on until proxies had time to see it in the health check."""
        _log.info("draining", drain_seconds=self._stop.drain_seconds)
        self._stop.begun.set()
        await asyncio.sleep(self._stop.drain_seconds)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, *, port: int, on_started: Callable[[], None], connections: Connections
    ) -> None:
        super().__init__(config)
        self._port = port
        self._on_started = on_started
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        loop = asyncio.get_running_loop()
        limits = self._connections.limits
        if (context := self.config.ssl) is None:
            self.servers = [
                await loop.create_server(self._connection, sock=listener, backlog=_BACKLOG)
                for listener in sockets or []
            ]
        else:
            listeners: Any = [
                TlsListener(
                    listener,
                    self._connection,
                    context=context,
                    seconds=limits.header_seconds,
                    max_handshakes=limits.max_connections,
                )
                for listener in sockets or []
            ]
            self.servers = listeners  # uvicorn only closes them
        self.started = True
        self._on_started()
        _log.info("serving", port=self._port, max_connections=limits.max_connections)

    async def on_tick(self, counter: int) -> bool:
        """Expire connections; uvicorn calls this every tenth of a second."""
        if counter % _SWEEP_TICKS == 0:
            self._connections.expire(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, connections=self._connections)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which exits with status 0 after a stop by signal."""
        yield


def check_certificate(tls: TlsFiles | None) -> None:
    """Read the certificates, if there are any.

    Raises:
        InvalidInput: They cannot be read, have expired, or do not belong together.
    """
    if tls is not None:
        read_certificates(tls)


def _within_file_limit(limits: ConnectionLimits, *, handshakes: bool) -> ConnectionLimits:
    """Raise this process's limit of open files as far as it may, and return limits that fit into it.

    Args:
        limits: As in the settings.
        handshakes: Whether as many connections may be in their handshakes at the same time.
    """
    files_each = 2 if handshakes else 1
    n_files = files_each * limits.max_connections + _OTHER_FILES
    open_files = raise_open_files(n_files)
    if n_files <= open_files:
        return limits
    possible = max(1, (open_files - _OTHER_FILES) // files_each)
    _log.warning("few_open_files", open_files=open_files, max_connections=possible, configured=limits.max_connections)
    return replace(limits, max_connections=possible)
