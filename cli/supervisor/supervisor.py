"""All processes of one machine: started side by side, stopped one after another in reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from cli.supervisor.output import GuardedOutput, Output
from cli.supervisor.policies import LivenessPolicy, RestartPolicy
from cli.supervisor.process import ManagedProcess, ProcessSpec
from common.errors import TailorbirdError

__all__ = ["StartFailed", "Supervisor"]

#: Crashes of a process that was never ready after which the start as a whole is given up.
_START_CRASHES = 3


class StartFailed(TailorbirdError):
    """A process could not be started; the message holds its last lines."""

    reason = "StartFailed"


class Supervisor:
    """Runs processes, as an async context: all of them are stopped when it ends, however it ends.

    Use it on the main thread: the kernel's tie to a process is to the thread that started it.

    Args:
        specs: What to run, in the order of dependence: they are stopped last to first.
        output: Where lines and remarks go; what it raises costs lines and nothing else.
        policy: When crashed processes are started again.
        liveness: When processes that run are taken for hung.
        start_seconds: Time for all to become ready at the first start.
        grace_seconds: Time for each to stop.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        output: Output,
        policy: RestartPolicy | None = None,
        liveness: LivenessPolicy | None = None,
        start_seconds: float = 60.0,
        grace_seconds: float = 12.0,
    ) -> None:
        self._output = GuardedOutput(output)
        self._start_seconds = start_seconds
        self.processes = tuple(
            ManagedProcess(
                spec,
                output=self._output,
                policy=policy or RestartPolicy(),
                liveness=liveness or LivenessPolicy(),
                grace_seconds=grace_seconds,
            )
            for spec in specs
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Do nothing yet: `start` tells about its progress and may fail."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self, *, stop: asyncio.Event | None = None) -> None:
        """Start all, and return when all are ready or `stop` is set.

        Raises:
            StartFailed: One crashed again and again before it was ready, or was not ready in time.
        """
        self._tasks = [asyncio.create_task(process.keep_running()) for process in self.processes]
        deadline = time.monotonic() + self._start_seconds
        while not all(process.ready.is_set() for process in self.processes):
            if stop is not None and stop.is_set():
                return
            self._raise_broken()
            for process in self.processes:
                late = time.monotonic() > deadline and not process.ready.is_set()
                if process.crashes >= _START_CRASHES or late:
                    why = f"was not ready within {self._start_seconds:g} s" if late else "ended again and again"
                    raise StartFailed(f"{process.spec.name} {why}; its last lines:\n" + "\n".join(process.tail))
            await asyncio.sleep(0.05)

    async def watch(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; crashed processes are restarted meanwhile."""
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        self._raise_broken()

    async def stop(self) -> None:
        """Stop all, last to first; those that do not stop in time are killed."""
        for process in reversed(self.processes):
            if process.pid is not None:
                self._output.note("stopping", process=process.spec.name)
            await process.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """Kill all at once: what a second Ctrl-C asks for."""
        for process in self.processes:
            process.kill()

    def _raise_broken(self) -> None:
        for task in self._tasks:
            # Only a defect of the supervisor ends such a task early.
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
