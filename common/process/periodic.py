"""Work that is done again and again beside everything else: one thread that outlives every failure of a round."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context

from common.errors import TailorbirdError
from common.logs import get_logger

__all__ = ["PeriodicThread"]

_log = get_logger(__name__)


class PeriodicThread:
    """Repeats work until it is stopped. Its log lines carry the request id of whoever started it.

    Args:
        work: One round. Whatever it raises, a panic of Rust code included, the next round comes as usual: without the
            thread nothing is done again.
        name: Of the thread.
        every_seconds: Pause before each round.
        first_at_once: Begin with a round instead of a pause.
        failure_event: Name of the line in the log for rounds that fail; of those in a row each kind of error is
            logged once.
    """

    def __init__(
        self,
        work: Callable[[], object],
        *,
        name: str,
        every_seconds: float,
        first_at_once: bool = False,
        failure_event: str = "round_failed",
    ) -> None:
        self._work = work
        self._name = name
        self._every_seconds = every_seconds
        self._first_seconds = 0.0 if first_at_once else every_seconds
        self._failure_event = failure_event
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Whether a round that runs should come to its end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread; once."""
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the last round is over."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        logged, pause = set[type[BaseException]](), self._first_seconds
        while not self._stopping.wait(pause):
            pause = self._every_seconds
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - the next round may succeed
                if type(error) not in logged:
                    trace = None if isinstance(error, TailorbirdError | OSError) else error
                    _log.error(self._failure_event, message=str(error), exc_info=trace)
                logged.add(type(error))
            else:
                logged.clear()
