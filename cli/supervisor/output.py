"""Where the lines of processes and the supervisor's own remarks go, and what holds when that fails.

The processes are what matters, and their log only tells of them: an output that fails costs lines, never a process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from common.process.worker_pool import Exit, Worker

__all__ = ["GuardedOutput", "Output", "OutputListener"]


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


class OutputListener:
    """Puts in words for people what happens to processes; see `common.process.worker_pool.PoolListener`.

    Args:
        output: Where the remarks go; must not raise.
        addresses: Where processes listen, by their names, as far as they do.
    """

    def __init__(self, output: GuardedOutput, *, addresses: Mapping[str, str]) -> None:
        self._output = output
        self._addresses = addresses

    def started(self, worker: Worker, pid: int) -> None:
        """Nothing is said: that it is ready is what people wait for."""

    def ready(self, worker: Worker, seconds: float) -> None:
        """Say where it can be reached."""
        name = worker.program.name
        fields = {"address": self._addresses[name]} if name in self._addresses else {}
        self._output.note("ready", process=name, seconds=round(seconds, 1), **fields)

    def silent(self, worker: Worker, pid: int, seconds: float) -> None:  # noqa: ARG002 - of no use to people
        """Say that it hangs."""
        self._output.note(
            "does not answer, killing it",
            level="error",
            process=worker.program.name,
            silent_seconds=round(seconds, 1),
        )

    def ended(self, worker: Worker, how: Exit, restart_in_seconds: float) -> None:
        """Say how it ended."""
        self._output.note(
            "process ended, will be restarted",
            level="error",
            process=worker.program.name,
            ended_by=how.reason,
            in_a_row=worker.ends,
            restart_in_seconds=restart_in_seconds,
        )

    def stopping(self, worker: Worker) -> None:
        """Say whose turn to stop it is."""
        self._output.note("stopping", process=worker.program.name)

    def not_stopped(self, worker: Worker, pid: int, grace_seconds: float) -> None:  # noqa: ARG002 - of no use to people
        """Say that it is killed."""
        self._output.note(
            "did not stop in time, killing it",
            level="warning",
            process=worker.program.name,
            grace_seconds=grace_seconds,
        )
