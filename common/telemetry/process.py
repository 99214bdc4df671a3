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

from common.process.forked import Beat, Endless, WorkerSpec
from common.settings import TelemetrySettings
from common.telemetry.calls import CALL_FIGURES, NO_CALLS, CallObserver, MeasuredCalls
from common.telemetry.figures import NO_FIGURES, Figure, Figures, Source
from common.telemetry.shared import Block, SharedFigures
from common.telemetry.tracing import NO_TRACER, Tracer

__all__ = ["FIGURES_WORKER", "Telemetry"]

#: Name of the process that answers scrapes.
FIGURES_WORKER = "figures"


class Telemetry:
    """Makes what the parts of a process are observed by; made before anything is forked, and before there are threads.

    Args:
        settings: What is on.
        service: Name of the service, in traces.
        figures: All that the parts may count and measure, beside the calls of a server.
        workers: Names of the processes that are forked; none for a process on its own.

    Raises:
        InvalidInput: The address for scrapes is malformed, or cannot be listened on.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        figures: Sequence[Figure],
        *,
        service: str,
        workers: Sequence[str] = ("",),
    ) -> None:
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

    def workers(self) -> list[WorkerSpec]:
        """Return the process that answers scrapes for all, to be forked beside the others; none where that is off."""
        return [] if self._listening is None else [WorkerSpec(FIGURES_WORKER, self._answer_scrapes)]

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
            from common.telemetry.exposition import BlockCollector, FigureServer, SourceCollector

            counted = BlockCollector(list(self._blocks.values()), self._declared)
            with FigureServer(self._listening, [counted, *map(SourceCollector, sources)]).running() as port:
                yield port
        finally:
            self._close()

    def _close(self) -> None:
        for tracer in self._tracers.values():
            tracer.close()

    def _answer_scrapes(self, _: Beat) -> Endless:
        from common.telemetry.exposition import BlockCollector, FigureServer

        assert self._listening is not None
        return FigureServer(self._listening, [BlockCollector(list(self._blocks.values()), self._declared)]).run()
