"""Shows the figures of a process, or of all processes of a service, to Prometheus: HTTP on an address of its own."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from socketserver import ThreadingMixIn
from typing import Any, ClassVar, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import invalid
from common.logs import get_logger
from common.telemetry.figures import Figure, Kind, Reading, Source
from common.telemetry.shared import Block

__all__ = ["BlockCollector", "FigureServer", "SourceCollector", "listen_for_scrapes"]

_POLL_SECONDS: Final = 0.1
#: A connection takes no longer, whatever its caller sends or reads.
_CONNECTION_SECONDS: Final = 10.0
#: More connections at a time are closed at once.
_MAX_CONNECTIONS: Final = 16
_LAST_PORT: Final = 65535
#: The label that tells the processes of a service apart.
_WORKER: Final = "worker"
_log = get_logger(__name__)


class BlockCollector(Collector):
    """Adds up the figures of several processes when they are asked for.

    Args:
        blocks: One for each process.
        figures: All that may be in them.
    """

    def __init__(self, blocks: Sequence[Block], figures: Sequence[Figure]) -> None:
        self._blocks = blocks
        self._figures = {figure.name: figure for figure in figures}

    def collect(self) -> Iterator[Metric]:
        """Yield each figure that a process has, by its labels."""
        values: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for block in self._blocks:
            for one in block.series():
                numbers = block.numbers[one.first : one.first + one.n_numbers].tolist()
                if math.isnan(numbers[0]):
                    continue
                labels = (*one.labels, block.process) if self._figures[one.name].by_worker else one.labels
                seen = values.setdefault(one.name, {}).setdefault(labels, [0.0] * len(numbers))
                seen[:] = [old + new for old, new in zip(seen, numbers, strict=True)]
        for name, by_labels in values.items():
            yield _family(self._figures[name], by_labels)


class SourceCollector(Collector):
    """Asks a source when it is asked; one that fails costs its own figures and no others.

    Args:
        source: Knows figures.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield each figure that the source has, by its labels."""
        try:
            readings: list[Reading] = list(self._source.read())
        except Exception as error:  # noqa: BLE001 - whatever it was, the other figures are as good as ever
            _log.warning("figures_unreadable", source=type(self._source).__name__, exc_info=error)
            return
        values: dict[Figure, dict[tuple[str, ...], list[float]]] = {}
        for reading in readings:
            values.setdefault(reading.figure, {})[reading.labels] = [reading.value]
        for figure, by_labels in values.items():
            yield _family(figure, by_labels)


def _family(figure: Figure, by_labels: dict[tuple[str, ...], list[float]]) -> Metric:
    labels = (*figure.labels, _WORKER) if figure.by_worker else figure.labels
    if figure.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(figure.name, figure.meaning, labels=labels)
        bounds = [*(str(bound) for bound in figure.bounds), "+Inf"]
        for values, numbers in by_labels.items():
            *counts, total = numbers
            histogram.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(figure.name, figure.meaning, labels=labels)
    for values, (number,) in by_labels.items():
        family.add_metric(values, number)
    return family


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread, a few at a time, none for long."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        host, port = listening.getsockname()[:2]
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or not at all."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, within a bounded time."""
        ending = threading.Timer(_CONNECTION_SECONDS, _end, (request,))
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's signature
        """Log what went wrong: a caller who left, or a collector that failed."""
        _log.warning("scrape_failed", exc_info=True)


def _end(request: socket.socket) -> None:
    with suppress(OSError):  # it has ended meanwhile
        request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """Writes no line for each request."""

    timeout: ClassVar[float] = _CONNECTION_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Write nothing."""


def listen_for_scrapes(address: str) -> socket.socket:
    """Listen on `HOST:PORT`, port 0 for any that is free; a parent does so for a process that it forks later.

    Raises:
        InvalidInput: The address is malformed, or cannot be listened on.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise invalid("metrics_listen", got=address, want="HOST:PORT")
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server((bare, int(port)), family=family)
    except OSError as error:
        raise invalid("metrics_listen", got=f"{address} ({error})", want="a free HOST:PORT") from error


class FigureServer:
    """Answers `GET /metrics`, without authentication: whoever reaches the address reads the figures.

    Args:
        listening: From `listen_for_scrapes`.
        collectors: Asked at each request.
    """

    def __init__(self, listening: socket.socket, collectors: Sequence[Collector]) -> None:
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._listening = listening

    @contextmanager
    def running(self) -> Iterator[int]:
        """Answer in threads while the block runs; yield the port."""
        server = _Server(self._listening)
        server.set_app(make_wsgi_app(self._registry))
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="figures", daemon=True)
        thread.start()
        _log.info("metrics", port=server.server_port)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    async def run(self) -> None:
        """Answer until cancelled: the work of a process of its own."""
        with self.running():
            await asyncio.Event().wait()
