"""The HTTP server under the gateway: uvicorn, told to bind, to become ready and to stop the way our processes do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from common.errors import InvalidInput, Unavailable
from common.logs import get_logger
from common.rpc import wait_for_signal
from common.settings import TlsFiles

__all__ = ["HttpServer"]

#: Longer than SDKs keep an idle connection, so that none is closed under a request that is just being sent.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048

_log = get_logger(__name__)


class HttpServer:
    """Serves an application on one address.

    Args:
        app: The ASGI application.
        address: `host:port`; port 0 picks a free one, read it back from `port`.
        grace_seconds: Time that running requests get at a stop.
        tls: Certificate and key make it HTTPS; without both it is plain text.

    Raises:
        InvalidInput: The address cannot be bound.
    """

    def __init__(self, app: ASGIApp, *, address: str, grace_seconds: float, tls: TlsFiles | None = None) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
        except (OSError, ValueError, OverflowError) as error:
            raise InvalidInput(
                f"`listen`: got {address}, which cannot be bound ({error}), want a free HOST:PORT"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            self.port,
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(grace_seconds)),
                ssl_certfile=tls.cert_file if tls and tls.key_file else None,
                ssl_keyfile=tls.key_file if tls and tls.cert_file else None,
            ),
        )

    @property
    def started(self) -> bool:
        """Whether requests are being taken."""
        return self._server.started

    async def run(self) -> None:
        """Serve until `stop` is called; returns when running requests are over."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no new requests; from the event loop's thread or any other."""
        self._server.should_exit = True

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            Unavailable: The application did not start; its error stands in the log.
        """
        serving = asyncio.create_task(self.run())
        signalled = asyncio.create_task(wait_for_signal())
        await asyncio.wait({serving, signalled}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping")
        signalled.cancel()
        self.stop()
        await serving
        if not self._server.started:
            raise Unavailable("gateway: the application did not start")
        _log.info("stopped")


class _Server(uvicorn.Server):
    def __init__(self, port: int, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._port = port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so once requests are really taken."""
        await super().startup(sockets)
        if self.started:
            _log.info("serving", port=self._port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which ends with status 0 at a stop that was asked for."""
        yield
