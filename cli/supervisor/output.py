"""Where the lines of processes and the supervisor's own remarks go, and what holds when that fails.

The processes are what matters, and their log only tells of them: an output that fails costs lines, never a process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["GuardedOutput", "Output"]


class Output(Protocol):
    """Where the lines of the processes and the supervisor's own remarks go."""

    def line(self, process: str, text: str) -> None:
        """Take one line that a process wrote."""
        ...

    def note(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Take a remark of the supervisor."""
        ...


class GuardedOutput:
    """An output that never raises: it counts what is lost, and says so as soon as something gets through again.

    Args:
        output: What may fail.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        #: Lines and remarks that are lost and were not told of yet.
        self.lost = 0

    def line(self, process: str, text: str) -> None:
        """Take one line that a process wrote."""
        self._attempt(lambda: self._output.line(process, text))

    def note(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Take a remark of the supervisor."""
        self._attempt(lambda: self._output.note(event, level=level, **fields))

    def _attempt(self, report: Callable[[], None]) -> None:
        lost = self.lost
        try:
            report()
            if lost:
                self._output.note("lines of the log could not be shown", level="warning", lost=lost)
                self.lost = 0
        except Exception:  # noqa: BLE001 - whatever an output does, the processes are supervised on; the loss is told
            self.lost += 1
