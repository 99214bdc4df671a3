"""All processes of one machine: started side by side, stopped one after another in reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from cli.supervisor.output import GuardedOutput, Output, OutputListener
from common.errors import TailorbirdError
from common.process.backoff import BackoffPolicy
from common.process.executed import ExecutedProgram, ProcessSpec
from common.process.probing import LivenessPolicy
from common.process.worker_pool import RestartPolicy, Worker, WorkerPool

__all__ = ["RESTARTS", "StartFailed", "Supervisor"]

#: When processes that ended are started again: never later than ten seconds after.
RESTARTS: Final = RestartPolicy(BackoffPolicy(first_seconds=0.5, longest_seconds=10.0), steady_seconds=60.0)
#: Ends of a process that was never ready after which the start as a whole is given up.
_START_ENDS: Final = 3


class StartFailed(TailorbirdError):
    """A process could not be started; the message holds its last lines."""

    reason = "StartFailed"


class Supervisor:
    """Runs processes, as an async context: all of them are stopped when it ends, however it ends.

    Use it on the main thread: the kernel's tie to a process is to the thread that started it.

    Args:
        specs: What to run, in the order of dependence: they are stopped last to first.
        output: Where lines and remarks go; what it raises costs lines and nothing else.
        restarts: When processes that ended are started again.
        liveness: When processes that run are taken for hung.
        start_seconds: Time for all to become ready at the first start. On a new machine Python and Numba compile first,
            40 s on two processors that do something else too.
        grace_seconds: Time for each to stop.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        output: Output,
        restarts: RestartPolicy = RESTARTS,
        liveness: LivenessPolicy | None = None,
        start_seconds: float = 180.0,
        grace_seconds: float = 15.0,
    ) -> None:
        guarded = GuardedOutput(output)
        self._start_seconds = start_seconds
        self._programs = [
            ExecutedProgram(spec, on_line=partial(guarded.line, spec.name), liveness=liveness or LivenessPolicy())
            for spec in specs
        ]
        self._pool = WorkerPool(
            self._programs,
            listener=OutputListener(guarded, addresses={spec.name: spec.address for spec in specs if spec.address}),
            policy=restarts,
            grace_seconds=grace_seconds,
            stop_order=range(len(specs), 0, -1),
        )

    @property
    def workers(self) -> tuple[Worker, ...]:
        """One for each process, in the order of the specs."""
        return self._pool.workers

    async def __aenter__(self) -> Self:
        """Do nothing yet: `start` tells about its progress and may fail."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self._pool.stop()
        if error is None:
            self._pool.raise_defects()

    async def start(self, *, stop: asyncio.Event | None = None) -> None:
        """Start all, and return when all are ready or `stop` is set.

        Raises:
            StartFailed: One ended again and again before it was ready, or was not ready in time.
        """
        self._pool.start()
        deadline = time.monotonic() + self._start_seconds
        while not all(worker.ready.is_set() for worker in self.workers):
            if stop is not None and stop.is_set():
                return
            self._pool.raise_defects()
            for worker, program in zip(self.workers, self._programs, strict=True):
                late = time.monotonic() > deadline and not worker.ready.is_set()
                if worker.ends >= _START_ENDS or late:
                    why = f"was not ready within {self._start_seconds:g} s" if late else "ended again and again"
                    raise StartFailed(f"{program.name} {why}; its last lines:\n" + "\n".join(program.tail))
            await asyncio.sleep(0.05)

    async def watch(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; processes that end or hang are started again meanwhile."""
        await self._pool.wait(stop)

    def kill(self) -> None:
        """Kill all at once: what a second Ctrl-C asks for."""
        self._pool.kill()
