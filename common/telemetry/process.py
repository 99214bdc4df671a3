"""Telemetry of one process, or of a parent and the workers that it forks, as the settings say; for composition roots.

What is off is neither made nor imported. A parent listens for scrapes and forks one more process that answers them, so
that no scrape delays a call, and the port stays its own when a worker ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from common.errors import invalid
from common.process.forked import Beat, Endless, WorkerSpec
from common.settings import TelemetrySettings
from common.telemetry.calls import CALL_FIGURES, NO_CALLS, CallObserver, MeasuredCalls
from common.telemetry.figures import NO_FIGURES, Figure, Figures, Source
from common.telemetry.shared import Block, SharedFigures
from common.telemetry.tracing import NO_TRACER, Tracer

if TYPE_CHECKING:
    from common.telemetry.exposition import FigureServer

__all__ = ["FIGURES_WORKER", "Telemetry"]

#: Name of the process that answers scrapes.
FIGURES_WORKER = "figures"


class Telemetry:
    """Makes what the parts of a process are observed by; made before anything is forked, and before there are threads.

    Args:
        settings: What is on.
        service: Name of the service, in traces.
        figures: All that the parts may count and measure, beside the calls of a server and `WORKER_FIGURES`.
        workers: Names of the processes that are forked; none for a process on its own.

    Raises:
        InvalidInput: The address for scrapes is malformed, or cannot be listened on; or traces are on, and what makes
            them is not installed: here, before workers are forked, which would end of it again and again.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        figures: Sequence[Figure],
        *,
        service: str,
        workers: Sequence[str] = ("",),
    ) -> None:
        if settings.otlp_endpoint is not None and not _can_trace():
            want = "the extra `telemetry` installed (pip install 'tailorbird[telemetry]'), or no endpoint"
            raise invalid("otlp_endpoint", got=settings.otlp_endpoint, want=want)
        self._settings = settings
        self._service = service
        self._tracers: dict[str, Tracer] = {}
        self._declared = (*CALL_FIGURES, *figures)
        self._blocks: dict[str, Block] = {}
        self._figures: dict[str, Figures] = {}
        self._listening = None
        if settings.metrics_listen is not None:
            from common.telemetry.exposition import listen_for_scrapes

            self._listening = listen_for_scrapes(settings.metrics_listen)
            self._blocks = {name: Block(name) for name in workers}
            if alone := self._blocks.get(""):
                alone.note(os.getpid())

    def figures(self, worker: str = "") -> Figures:
        """Return the figures of the process that calls this, by its name: never those of another."""
        block = self._blocks.get(worker)
        if block is None:
            return NO_FIGURES
        if worker not in self._figures:
            self._figures[worker] = SharedFigures(block)
        return self._figures[worker]

    def observer(self, worker: str = "") -> CallObserver:
        """Return what watches the calls of a server of the process that calls this, by its name."""
        figures, tracer = self.figures(worker), self.tracer(worker)
        return NO_CALLS if figures is NO_FIGURES and tracer is NO_TRACER else MeasuredCalls(figures, tracer)

    def tracer(self, worker: str = "") -> Tracer:
        """Return what traces in the process that calls this, by its name."""
        endpoint = self._settings.otlp_endpoint
        if endpoint is None:
            return NO_TRACER
        if worker not in self._tracers:
            from common.telemetry.otlp import OtlpTracer

            instance = f"{socket.gethostname()}-{os.getpid()}"
            ratio = self._settings.trace_ratio
            self._tracers[worker] = OtlpTracer(endpoint, service=self._service, instance=instance, ratio=ratio)
        return self._tracers[worker]

    async def until_sent(self, work: Endless) -> None:
        """Do the work of a forked process, and send its last traces when it ends or is cancelled."""
        try:
            await work
        finally:
            await asyncio.to_thread(self._close)

    def observed(self, specs: Sequence[WorkerSpec]) -> list[WorkerSpec]:
        """Return the workers that are to be forked, so that it is shown which of them run.

        One more answers scrapes for all, and is stopped after all others; none where that is off.
        """
        if self._listening is None:
            return list(specs)
        last = max((spec.turn for spec in specs), default=0) + 1
        noted = [replace(spec, note=self._blocks[spec.name].note) for spec in specs]
        return [*noted, WorkerSpec(FIGURES_WORKER, self._answer_scrapes, turn=last)]

    @contextmanager
    def shown(self, sources: Sequence[Source] = ()) -> Iterator[int | None]:
        """Answer scrapes in threads of this process while the block runs; yield the port, None where that is off.

        At the end the last traces are sent.

        Args:
            sources: Asked at each scrape.
        """
        try:
            if self._listening is None:
                yield None
                return
            with self._server(sources).running() as port:
                yield port
        finally:
            self._close()

    def _close(self) -> None:
        for tracer in self._tracers.values():
            tracer.close()

    def _answer_scrapes(self, _: Beat) -> Endless:
        return self._server().run()

    def _server(self, sources: Sequence[Source] = ()) -> FigureServer:
        from common.telemetry.exposition import BlockCollector, FigureServer, SourceCollector
        from common.telemetry.workers import WorkerProcesses

        assert self._listening is not None
        blocks = list(self._blocks.values())
        shown = [WorkerProcesses(blocks), *sources]
        return FigureServer(self._listening, [BlockCollector(blocks, self._declared), *map(SourceCollector, shown)])


def _can_trace() -> bool:
    """Return whether what makes traces is installed, without loading it."""
    try:
        return None not in (find_spec("opentelemetry.sdk"), find_spec("opentelemetry.exporter.otlp.proto.grpc"))
    except ModuleNotFoundError:
        return False  # a package that one of them is in
