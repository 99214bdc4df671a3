"""Keeps child processes running: starts them, watches them, starts again what ended or hangs, stops all.

How a child is started and how it shows that it lives is its program's business: `forked` runs functions of the parent,
`executed` other programs. What happens then is the same for both, and told here.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from common.process.backoff import BackoffPolicy

__all__ = ["Child", "Exit", "PoolListener", "Program", "RestartPolicy", "Worker", "WorkerPool"]


class Child(Protocol):
    """One running process."""

    @property
    def pid(self) -> int:
        """Id of the process."""
        ...

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as the parent knows: as long as that is so, the id is its own."""
        ...

    async def wait(self) -> int:
        """Return the exit status once it has ended, negative for a signal; may be called by several at a time."""
        ...

    def terminate(self) -> None:
        """Ask it to stop; without effect once it has ended."""
        ...

    def kill(self) -> None:
        """Kill it with everything that it started; without effect once it has ended."""
        ...

    async def close(self) -> None:
        """Clean up what it left, after its end or instead of it."""
        ...


class Program(Protocol):
    """What a worker runs, again and again."""

    @property
    def name(self) -> str:
        """Unique in the pool; shown in the log."""
        ...

    async def start(self) -> Child:
        """Start a process.

        Raises:
            OSError: That is not possible now.
        """
        ...

    async def watch(self, on_ready: Callable[[], None]) -> float:
        """Watch the process that was started last, until cancelled or it hangs.

        Args:
            on_ready: To be called once, when it is ready.

        Returns:
            How many seconds it has shown no sign of life.
        """
        ...


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a process that ended is started again.

    Attributes:
        backoff: Pauses before it is, by the ends in a row.
        steady_seconds: A process that lived this long counts its next end as the first.
        first_at_once: The first end in a row costs no pause, and the back-off begins with the second.
    """

    backoff: BackoffPolicy
    steady_seconds: float
    first_at_once: bool = False

    def pause_seconds(self, ends: int) -> float:
        """Return how long to pause after so many ends in a row, at least 1."""
        if not self.first_at_once:
            return self.backoff.pause_seconds(ends)
        return 0.0 if ends == 1 else self.backoff.pause_seconds(ends - 1)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended.

    Attributes:
        pid: Process id; None when it could not be started.
        status: Exit status, negative for a signal; None when it could not be started.
        reason: The same in words.
    """

    pid: int | None
    status: int | None
    reason: str


class PoolListener(Protocol):
    """What a pool reports; its methods must not raise."""

    def started(self, worker: Worker, pid: int) -> None:
        """A process was started."""
        ...

    def ready(self, worker: Worker, seconds: float) -> None:
        """A process became ready, so long after its start."""
        ...

    def silent(self, worker: Worker, pid: int, seconds: float) -> None:
        """A process has shown no sign of life for so long, and is killed."""
        ...

    def ended(self, worker: Worker, how: Exit, restart_in_seconds: float) -> None:
        """A process ended that nobody asked to, and will be started again."""
        ...

    def stopping(self, worker: Worker) -> None:
        """A process is asked to stop."""
        ...

    def not_stopped(self, worker: Worker, pid: int, grace_seconds: float) -> None:
        """A process did not stop in time, and is killed."""
        ...


class Worker:
    """Keeps one process running.

    Args:
        program: What to run.
        listener: Is told what happens.
        policy: When to start it again.
        grace_seconds: Time between the request to stop and the kill.
    """

    def __init__(
        self, program: Program, *, listener: PoolListener, policy: RestartPolicy, grace_seconds: float
    ) -> None:
        self.program = program
        #: Set while a process runs that has become ready.
        self.ready = asyncio.Event()
        #: Ends in a row.
        self.ends = 0
        self._listener = listener
        self._policy = policy
        self._grace_seconds = grace_seconds
        self._stopping = asyncio.Event()
        self._child: Child | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def keep_running(self) -> None:
        """Start, and start again after every end, until `stop` is called."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self._started_at = loop.time()
            try:
                how = await self._run_once()
            except OSError as error:
                # Out of processes or files: that passes, and the others need their parent meanwhile.
                how = Exit(None, None, f"no start: {error.strerror}")
            self.ready.clear()
            if self._stopping.is_set():
                break
            self.ends = 1 if loop.time() - self._started_at >= self._policy.steady_seconds else self.ends + 1
            pause = self._policy.pause_seconds(self.ends)
            self._listener.ended(self, how, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def expect_end(self) -> None:
        """Let it run on until `stop`, and do not start it again if it ends before."""
        self._stopping.set()

    async def stop(self) -> None:
        """Ask it to stop, kill it when it does not within the grace; return when it is gone."""
        self._stopping.set()
        child = self._child
        if child is None or not child.running:
            return
        self._listener.stopping(self)
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), self._grace_seconds)
        except TimeoutError:
            self._listener.not_stopped(self, child.pid, self._grace_seconds)
            child.kill()
            await child.wait()

    def kill(self) -> None:
        """Kill it now, and start it no more."""
        self._stopping.set()
        if self._child is not None:
            self._child.kill()

    async def _run_once(self) -> Exit:
        self._child = child = await self.program.start()
        self._listener.started(self, child.pid)
        if self._stopping.is_set():
            # `stop` came while it was being started and saw nothing to stop.
            child.kill()
        ending, watching = asyncio.create_task(child.wait()), asyncio.create_task(self._watch(child))
        try:
            await asyncio.wait([ending, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            status = await ending
        finally:
            ending.cancel()
            watching.cancel()
            await child.close()
        return Exit(child.pid, status, _in_words(status))

    async def _watch(self, child: Child) -> None:
        silent_seconds = await self.program.watch(self._note_ready)
        if not self._stopping.is_set():
            self._listener.silent(self, child.pid, silent_seconds)
            child.kill()

    def _note_ready(self) -> None:
        self.ready.set()
        self._listener.ready(self, asyncio.get_running_loop().time() - self._started_at)


def _in_words(status: int) -> str:
    """Return an exit status as `exit status 1` or `SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


class WorkerPool:
    """Runs programs side by side; to be used on the main thread, whose event loop is told of children that end.

    Args:
        programs: What to run, in the order of dependence.
        listener: Is told what happens.
        policy: When processes that ended are started again.
        grace_seconds: Time for each to stop.
        stop_order: For each program, when it is stopped: those of the lowest number first, side by side, the next when
            these are gone. None stops all side by side.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        listener: PoolListener,
        policy: RestartPolicy,
        grace_seconds: float,
        stop_order: Sequence[int] | None = None,
    ) -> None:
        self.workers = tuple(
            Worker(program, listener=listener, policy=policy, grace_seconds=grace_seconds) for program in programs
        )
        turns = stop_order or [0] * len(self.workers)
        self._turns = [
            [worker for worker, its_turn in zip(self.workers, turns, strict=True) if its_turn == turn]
            for turn in sorted(set(turns))
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to run all."""
        self._tasks = [asyncio.create_task(worker.keep_running()) for worker in self.workers]

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; processes that end or hang are started again meanwhile.

        Raises:
            Exception: A defect of a program or of the pool, which would leave a process without its parent's care.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        self.raise_defects()

    def raise_defects(self) -> None:
        """Raise what ended the care for a process early, if anything did."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def stop(self) -> None:
        """Stop all, and return when they are gone; those that do not stop in time are killed.

        Defects are not raised, so that an error on whose account all are stopped is not replaced: see `raise_defects`.
        """
        # Whoever stops this process may have signalled those of the later turns too, as a terminal or systemd does.
        for worker in self.workers:
            worker.expect_end()
        for workers in self._turns:
            await asyncio.gather(*(worker.stop() for worker in workers))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """Kill all at once."""
        for worker in self.workers:
            worker.kill()
