"""Figures of a process for Prometheus, over HTTP on an address of their own, apart from what answers calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import ClassVar, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from common.errors import invalid

__all__ = ["serve_figures"]

_POLL_SECONDS: Final = 0.1


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Gives a caller 10 s to send its request; writes no line for each of them."""

    timeout: ClassVar[float] = 10.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Write nothing."""


@contextmanager
def serve_figures(address: str | None, collectors: Sequence[Collector]) -> Iterator[int | None]:
    """Answer `GET /metrics` while the block runs; yield the port, None without an address.

    Args:
        address: `HOST:PORT`, port 0 for any that is free; None serves nothing. There is no authentication: whoever
            reaches the address reads the figures.
        collectors: Asked at each request.

    Raises:
        InvalidInput: The address is malformed.
        OSError: It cannot be listened on.
    """
    if address is None:
        yield None
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise invalid("metrics_listen", got=address, want="HOST:PORT")
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    server = make_server(host, int(port), make_wsgi_app(registry), server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="figures", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
