"""Which processes of a service run, how often they have ended, and the memory that they take: read at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import psutil

from common.telemetry.figures import Figure, Kind, Reading
from common.telemetry.shared import Block

__all__ = ["WORKER_FIGURES", "WorkerProcesses"]

_UP: Final = Figure(
    Kind.GAUGE,
    "tailorbird_worker_up",
    "Whether a process of the service runs, 1, or is to be started again, 0.",
    ("worker",),
)
_ENDS: Final = Figure(
    Kind.COUNTER, "tailorbird_worker_ends_total", "Processes of the service that have ended.", ("worker",)
)
_MEMORY: Final = Figure(
    Kind.GAUGE,
    "tailorbird_worker_memory_bytes",
    "Memory in use by a process of the service: private, or shared with others and with the system's cache of files.",
    ("worker", "kind"),
)
#: Of every process. The label is empty for a service that is one process.
WORKER_FIGURES: Final = (_UP, _ENDS, _MEMORY)


class WorkerProcesses:
    """Looks at the processes whose figures are in some blocks; see `Source`.

    Args:
        blocks: One for each process.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    def read(self) -> Iterator[Reading]:
        """Yield what is known of each."""
        for block in self._blocks:
            pid, name = block.pid, block.process
            yield Reading(_UP, float(pid is not None), (name,))
            yield Reading(_ENDS, float(block.ends), (name,))
            if pid is None:
                continue
            try:
                memory = psutil.Process(pid).memory_info()
            except psutil.Error:
                continue  # it has ended since
            shared = float(getattr(memory, "shared", 0))  # Linux tells it
            yield Reading(_MEMORY, float(memory.rss) - shared, (name, "private"))
            yield Reading(_MEMORY, shared, (name, "shared"))
