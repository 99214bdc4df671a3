"""Workers that are forked from their parent: functions that run in processes of their own and cannot outlive it.

gRPC does not survive a fork, so the parent never has a channel, a server or a thread: a worker that died can be forked
again at any time. The parent's event loop is left behind in the child, which makes one of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from common.errors import TailorbirdError
from common.logs import get_logger
from common.process.backoff import BackoffPolicy
from common.process.heartbeat import BEAT_SECONDS, Beat, Heartbeat
from common.process.lifecycle import STOP_SIGNALS, keep_beating, run_until_signal, stop_event
from common.process.lifeline import Lifeline
from common.process.worker_pool import Exit, RestartPolicy, Worker, WorkerPool

__all__ = ["Beat", "Endless", "Patience", "WorkerSpec", "run_workers_until_signal"]

#: Work that has no end of its own and is cancelled.
Endless = Coroutine[Any, Any, None]

#: Signals that the parent handles itself and its children must begin without.
_HANDLED: Final = (*STOP_SIGNALS, signal.SIGCHLD)
_RESTARTS: Final = RestartPolicy(BackoffPolicy(0.1, 10.0), steady_seconds=30.0, first_at_once=True)
#: Time beyond the workers' own grace before they are killed: in it a server tells callers that it stops.
_MARGIN_SECONDS: Final = 3.0
_FAILED: Final = 1
_log = get_logger(__name__)


def _note_nothing(_: int | None) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What one worker runs, in a process that is forked for it.

    Attributes:
        name: Unique; names it in the log.
        run: Called in the worker's process; returns what runs on its event loop and is cancelled at SIGTERM. The loop
            beats every `BEAT_SECONDS`. Work that may keep the loop busy for longer, in many short steps, calls what it
            is given as well.
        turn: When it is stopped: those of the lowest number first, the next when these have ended. What the others
            rely on until they have answered their last call has a higher number.
        note: Called in the parent with the id of each process that is started for it, and with None when that ended.
    """

    name: str
    run: Callable[[Beat], Endless]
    turn: int = 0
    note: Callable[[int | None], None] = _note_nothing


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers are waited for.

    Attributes:
        grace_seconds: Time that they take to stop at most; they are killed three seconds later.
        silent_seconds: One that shows no sign of life for so long is killed and forked again.
    """

    grace_seconds: float
    silent_seconds: float


def run_workers_until_signal(specs: Sequence[WorkerSpec], patience: Patience) -> None:
    """Fork all workers, keep them running, and return when all have ended after SIGTERM or SIGINT.

    To be called on the main thread of a process without other threads. A worker that ends is forked again, at once the
    first time, then after growing pauses. One that hangs would keep its share of a port, and its callers, for good: it
    is killed, and has ended. A parent that hangs would start nobody again, while its workers answer whoever probes it:
    they kill it, end with it, and whoever has started it does so again.
    """
    asyncio.run(_run_workers(specs, patience))


async def _run_workers(specs: Sequence[WorkerSpec], patience: Patience) -> None:
    stop, parent = stop_event(), _Parent(silent_seconds=patience.silent_seconds)
    beating = asyncio.create_task(keep_beating(parent.heartbeat.beat))
    programs = [_ForkedProgram(spec, parent, silent_seconds=patience.silent_seconds) for spec in specs]
    grace_seconds = patience.grace_seconds + _MARGIN_SECONDS
    pool = WorkerPool(
        programs,
        listener=_LogListener(),
        policy=_RESTARTS,
        grace_seconds=grace_seconds,
        stop_order=[spec.turn for spec in specs],
    )
    try:
        pool.start()
        await pool.wait(stop)
        _log.info("stopping", grace_seconds=patience.grace_seconds)
        await pool.stop()
        pool.raise_defects()
        _log.info("stopped")
    finally:
        beating.cancel()
        parent.close()


class _Parent:
    """What all children of this process have in common: the pipe that they end with, and the news of their ends.

    Args:
        silent_seconds: A parent that was silent for so long hangs.
    """

    def __init__(self, *, silent_seconds: float) -> None:
        self.heartbeat = Heartbeat(silent_seconds=silent_seconds)
        self.lifeline = Lifeline()
        self._pid = os.getpid()
        self._children: list[_ForkedChild] = []
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def add(self, child: _ForkedChild) -> None:
        """Wait for the end of a child."""
        self._children.append(child)

    def look(self) -> None:
        """End this process's parent if that hangs, and so this process; in a child, once per `BEAT_SECONDS`."""
        if not self.heartbeat.is_silent():
            return
        _log.error("parent_silent", pid=self._pid)
        # Not another process that got its number: a child whose parent is gone ends at once.
        os.kill(self._pid, signal.SIGKILL)
        # The first process of a container cannot be killed from within; without workers it is seen to be of no use.
        os._exit(_FAILED)

    def close(self) -> None:
        """Give the pipe free: children that still run end now."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self.lifeline.close()

    def _reap(self) -> None:
        # Several ends may come as one signal.
        self._children = [child for child in self._children if not child.reap()]


class _ForkedChild:
    """A process that was forked; see `worker_pool.Child`."""

    def __init__(self, pid: int, *, note: Callable[[int | None], None]) -> None:
        self.pid = pid
        self._note = note
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        # Only `reap` frees the process id, so until then it is still this child's, ended or not.
        return not self._status.done()

    def reap(self) -> bool:
        """Take note of its end, if it has ended; return whether it has."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._note(None)
            self._status.set_result(os.waitstatus_to_exitcode(status))
        return bool(pid)

    async def wait(self) -> int:
        return await asyncio.shield(self._status)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def close(self) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)


class _ForkedProgram:
    """A worker's function and its heartbeat; see `worker_pool.Program`."""

    def __init__(self, spec: WorkerSpec, parent: _Parent, *, silent_seconds: float) -> None:
        self.name = spec.name
        self._work = spec.run
        self._note = spec.note
        self._heartbeat = Heartbeat(silent_seconds=silent_seconds)
        self._parent = parent

    async def start(self) -> _ForkedChild:
        loop = asyncio.get_running_loop()
        forked: asyncio.Future[_ForkedChild] = loop.create_future()
        self._heartbeat.begin()
        # Between two steps of all tasks: the child must not be inside of one, for it begins a loop of its own.
        loop.call_soon(self._fork, forked)
        return await forked

    def _fork(self, forked: asyncio.Future[_ForkedChild]) -> None:
        try:
            child = _ForkedChild(_fork(self._run, lifeline=self._parent.lifeline), note=self._note)
        except OSError as error:
            forked.set_exception(error)
            return
        self._note(child.pid)
        # At once: the news of its end is for children that are waited for.
        self._parent.add(child)
        forked.set_result(child)

    def _run(self) -> None:
        beat = self._heartbeat.beat

        def beat_and_look() -> None:
            beat()
            self._parent.look()

        run_until_signal(self._work(beat), beat=beat_and_look)

    async def watch(self, on_ready: Callable[[], None]) -> float:
        on_ready()
        while not self._heartbeat.is_silent():
            await asyncio.sleep(BEAT_SECONDS)
        return self._heartbeat.silence_seconds


class _LogListener:
    """Writes what happens to the log; see `worker_pool.PoolListener`."""

    def started(self, worker: Worker, pid: int) -> None:
        _log.info("process_started", process=worker.program.name, pid=pid)

    def ready(self, worker: Worker, seconds: float) -> None:
        """Forked workers say themselves when they serve."""

    def silent(self, worker: Worker, pid: int, seconds: float) -> None:  # noqa: ARG002 - the seconds are the setting's
        _log.error("process_silent", process=worker.program.name, pid=pid)

    def ended(self, worker: Worker, how: Exit, restart_in_seconds: float) -> None:
        fields: dict[str, object] = {"exit_code": how.status, "restart_in_seconds": restart_in_seconds}
        if how.status is None:
            fields["reason"] = how.reason
        _log.error("process_ended", process=worker.program.name, pid=how.pid, **fields)

    def stopping(self, worker: Worker) -> None:
        """All are stopped at once, which is one line."""

    def not_stopped(self, worker: Worker, pid: int, grace_seconds: float) -> None:  # noqa: ARG002 - the setting's
        _log.warning("process_killed", process=worker.program.name, pid=pid)


def _fork(run: Callable[[], None], *, lifeline: Lifeline) -> int:
    """Fork a child.

    Args:
        run: What the child does, with every handler of signals at its default; an error that it raises is logged.
        lifeline: Of this process, the parent.

    Returns:
        The child's process id. The child itself never returns: it exits with 0 when `run` returned, else with 1.
    """
    # What exists now will not be collected: the children's collectors need not touch, hence copy, the shared pages.
    gc.freeze()
    # A signal between the fork and the reset of its handlers would be lost: the child would handle it as the parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        child = os.fork()
        if child == 0:
            _become(run, lifeline)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _become(run: Callable[[], None], lifeline: Lifeline) -> NoReturn:
    status = _FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        lifeline.hold()
        run()
        status = 0
    except TailorbirdError as error:
        _log.error("process_failed", reason=error.reason, message=error.message)
    except BaseException as error:  # noqa: BLE001 - panics of Rust code too: the child ends here, and must not run on as the parent
        _log.error("process_failed", exc_info=error)
    finally:
        # Nothing that the parent registered for its own end is this process's to do.
        os._exit(status)
