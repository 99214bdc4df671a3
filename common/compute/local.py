"""Parts in processes of this machine: executed, never forked, one part at a time in each.

A process that dies takes nothing with it but the part that it did, which is begun anew in a new process. Processes
live as long as the run, so what a task keeps in its module serves many parts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from common.compute import CHECK_SECONDS, MAX_ATTEMPTS, Part, Result
from common.compute.tasks import check_importable
from common.compute.worker_main import FAILED
from common.errors import Unavailable
from common.logs import get_logger

__all__ = ["LocalCompute"]

#: Time for a process to end by itself once there are no more parts.
_END_SECONDS: Final = 5.0
_log = get_logger(__name__)


class LocalCompute:
    """Runs parts in processes of this machine; see `Compute`.

    A child inherits the environment, from which a process removes its settings at its start (`forget_settings`): what
    a task needs of them comes with the part.

    Args:
        workers: Processes at a time, for each run.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    @property
    def parallelism(self) -> int:
        """Processes at a time."""
        return self._workers

    def run(
        self, task: Callable[[Part], Result], parts: Sequence[Part], *, check: Callable[[], object]
    ) -> Iterator[tuple[int, Result]]:
        """Do all parts; see `Compute.run`."""
        check_importable(task)
        return self._run(task, parts, check)

    def _run(
        self, task: Callable[[Part], Result], parts: Sequence[Part], check: Callable[[], object]
    ) -> Iterator[tuple[int, Result]]:
        workers: dict[Connection[Any, Any], _Worker] = {}
        ending: list[_Worker] = []
        places = iter(range(len(parts)))
        try:
            for place in places:
                check()
                _begin(workers, task, _Assignment(place, parts[place]))
                if len(workers) == self._workers:
                    break
            while workers:
                ready = wait(list(workers), timeout=CHECK_SECONDS)
                check()
                for connection in ready:
                    assert isinstance(connection, Connection)
                    worker = workers[connection]
                    assignment = worker.assignment
                    try:
                        kind, value = connection.recv()
                    except (EOFError, OSError):
                        _note_loss(assignment, workers.pop(connection).bury())
                        _begin(workers, task, assignment)
                        continue
                    if kind == FAILED:
                        value.add_note(f"in part {assignment.place} of {len(parts)}")
                        raise value
                    yield assignment.place, value
                    if (next_place := next(places, None)) is None:
                        ending.append(workers.pop(connection))
                        ending[-1].dismiss()
                    else:
                        worker.assign(_Assignment(next_place, parts[next_place]))
            for worker in ending:
                worker.join()
        finally:
            for worker in (*workers.values(), *ending):
                worker.bury()


class _Assignment:
    """A part that some process does.

    Args:
        place: In the sequence.
        part: Is pickled at once, so that a repetition gets the same.
    """

    def __init__(self, place: int, part: object) -> None:
        self.place = place
        self.raw = bytes(ForkingPickler.dumps(part))
        self.attempts = 0


class _Worker:
    """A process that does parts of one task.

    Args:
        task: Is imported there.
    """

    def __init__(self, task: Callable[[Any], Any]) -> None:
        self.connection, remote = Pipe()
        self.assignment: _Assignment
        try:
            with remote:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "common.compute.worker_main", str(remote.fileno())],
                    stdin=subprocess.PIPE,  # the lifeline: held open, and nothing is written
                    pass_fds=(remote.fileno(),),
                    process_group=0,  # a Ctrl-C at the terminal is for the parent; what it started is killed with it
                )
        except BaseException:
            self.connection.close()
            raise
        with suppress(BrokenPipeError, ConnectionResetError):  # its death is noticed where the answer is read
            self.connection.send(task)

    @property
    def pid(self) -> int:
        return self._process.pid

    def assign(self, assignment: _Assignment) -> None:
        """Hand it a part; if it has died, reading its answer says so."""
        assignment.attempts += 1
        self.assignment = assignment
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(assignment.raw)

    def dismiss(self) -> None:
        """Let it end by itself, for there are no more parts."""
        self.connection.close()

    def join(self) -> None:
        """Wait a little for its end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)

    def bury(self) -> int:
        """Kill it with all that it started, if it still runs; return its exit status."""
        self.connection.close()
        if self._process.poll() is None:
            # Its children are of its group; the group has its number as long as it is not waited for.
            os.killpg(self.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait()


def _begin(workers: dict[Connection[Any, Any], _Worker], task: Callable[[Any], Any], assignment: _Assignment) -> None:
    worker = _Worker(task)
    workers[worker.connection] = worker
    worker.assign(assignment)


def _note_loss(assignment: _Assignment, status: int) -> None:
    """Log that the process of a part died.

    Raises:
        Unavailable: It was the last attempt.
    """
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    _log.warning("compute_worker_died", how=how, place=assignment.place, attempts=assignment.attempts)
    if assignment.attempts >= MAX_ATTEMPTS:
        hint = "; most likely memory ran out: give the machine more, or let it do fewer parts at a time"
        raise Unavailable(
            f"part {assignment.place}: its process died {MAX_ATTEMPTS} times, last with {how}"
            f"{hint if status == -signal.SIGKILL else ''}"
        )
