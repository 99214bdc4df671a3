"""Parts in processes of this machine: executed, never forked, one part at a time in each.

A process that dies takes nothing with it but the part that it did, which is begun anew in a new process. Processes
live as long as the run, so what a task keeps in its module serves many parts.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from common.compute import CHECK_SECONDS, MAX_ATTEMPTS, Part, Result
from common.compute.child import Child
from common.compute.messages import FAILED
from common.compute.tasks import check_importable, lost_part, noted
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
        dismissed: list[Child] = []
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
                        _note_loss(assignment, workers.pop(connection).child.kill())
                        _begin(workers, task, assignment)
                        continue
                    if kind == FAILED:
                        raise noted(value, assignment.place, len(parts))
                    yield assignment.place, value
                    if (next_place := next(places, None)) is None:
                        dismissed.append(workers.pop(connection).child)
                        dismissed[-1].dismiss()
                    else:
                        worker.assign(_Assignment(next_place, parts[next_place]))
            for child in dismissed:
                child.join(_END_SECONDS)
        finally:
            for child in (*(worker.child for worker in workers.values()), *dismissed):
                child.kill()


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
        self.child = Child("common.compute.worker_main")
        self.assignment: _Assignment
        self.child.send(task)

    def assign(self, assignment: _Assignment) -> None:
        """Hand it a part; if it has died, reading its answer says so."""
        assignment.attempts += 1
        self.assignment = assignment
        self.child.send_bytes(assignment.raw)


def _begin(workers: dict[Connection[Any, Any], _Worker], task: Callable[[Any], Any], assignment: _Assignment) -> None:
    worker = _Worker(task)
    workers[worker.child.connection] = worker
    worker.assign(assignment)


def _note_loss(assignment: _Assignment, status: int) -> None:
    """Log that the process of a part died.

    Raises:
        Unavailable: It was the last attempt.
    """
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    _log.warning("compute_worker_died", how=how, place=assignment.place, attempts=assignment.attempts)
    if assignment.attempts >= MAX_ATTEMPTS:
        raise lost_part(assignment.place, how, memory=status == -signal.SIGKILL)
