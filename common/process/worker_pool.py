"""Keeps forked processes running: one that ends is forked again, at once the first time, then after growing pauses.

One that hangs would keep its share of the port, and its callers, for good; it is killed, and has ended.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType

from common.logs import get_logger
from common.process.heartbeat import BEAT_SECONDS, Beat, Heartbeat
from common.process.lifeline import Lifeline
from runtime_service.processes.fork import HANDLED, fork

__all__ = ["Patience", "WorkerPool", "WorkerSpec"]

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
#: A process that lived so long counts its next end as the first.
_STEADY_SECONDS = 30.0
#: Time beyond the children's own grace before they are killed.
_MARGIN_SECONDS = 1.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One process.

    Attributes:
        name: In the log.
        run: What it does until SIGTERM. It calls what it is given every `BEAT_SECONDS`, from where it would hang.
    """

    name: str
    run: Callable[[Beat], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long members are waited for.

    Attributes:
        grace_seconds: Time that they take to stop at most; they are killed a second later.
        silent_seconds: One that shows no sign of life for so long is killed and forked again.
    """

    grace_seconds: float
    silent_seconds: float


class _Child:
    """A member and the process that is it now."""

    def __init__(self, member: WorkerSpec, pulse: Heartbeat) -> None:
        self.member = member
        self.pid: int | None = None
        self.due = 0.0  # when it is to be forked, while it does not run
        self._pulse = pulse
        self._killed = False
        self._began = 0.0
        self._ends = 0

    def start(self, lifeline: Lifeline) -> None:
        self._began = time.monotonic()
        self._killed = False
        self._pulse.begin()
        self.pid = fork(partial(self.member.run, self._pulse.beat), lifeline=lifeline)
        _log.info("process_started", process=self.member.name, pid=self.pid)

    def reap(self) -> int | None:
        """Return the exit code if the process has ended since the last look: negative for a signal."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def kill_if_it_hangs(self) -> None:
        """Look at the pulse, and end a process without one; `reap` finds it then."""
        if self.pid is None or self._killed or not self._pulse.is_silent():
            return
        _log.error("process_silent", process=self.member.name, pid=self.pid)
        self.signal(signal.SIGKILL)
        self._killed = True

    def postpone(self) -> float:
        """Set when to fork again, and return the pause until then in seconds: none after a first end."""
        now = time.monotonic()
        self._ends = 1 if now - self._began >= _STEADY_SECONDS else self._ends + 1
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._ends - 2, 20), _LONGEST_PAUSE_SECONDS)
        if self._ends == 1:
            pause = 0.0
        self.due = now + pause
        return pause

    def signal(self, number: signal.Signals) -> None:
        # Only `reap` frees the process id, so it is still this child's, ended or not.
        if self.pid is not None:
            os.kill(self.pid, number)


class WorkerPool:
    """Runs members until SIGTERM or SIGINT; to be used once, on the main thread of a process without other threads.

    Args:
        members: What to run side by side.
        patience: With them.
    """

    def __init__(self, members: Sequence[WorkerSpec], patience: Patience) -> None:
        self._children = [_Child(member, Heartbeat(silent_seconds=patience.silent_seconds)) for member in members]
        self._next_look = 0.0
        self._grace_seconds = patience.grace_seconds
        self._stopping = False

    def run_until_signal(self) -> None:
        """Fork all members, keep them running, and return when all have ended after a signal."""
        lifeline = Lifeline()
        # Handlers of signals write here, so that the waits below end at once.
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, self._note)
        try:
            while not self._stopping:
                self._care(lifeline)
                self._wait(wake, min([self._next_look, *(one.due for one in self._children if one.pid is None)]))
            self._stop(wake)
        finally:
            signal.set_wakeup_fd(-1)
            lifeline.close()
            os.close(wake)
            os.close(woken)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stopping = True

    def _care(self, lifeline: Lifeline) -> None:
        """Take note of those that ended, end those that hang, and fork those that are due."""
        self._look()
        for child in self._children:
            pid, code = child.pid, child.reap()
            if code is not None:
                pause = child.postpone()
                _log.error(
                    "process_ended", process=child.member.name, pid=pid, exit_code=code, restart_in_seconds=pause
                )
            if child.pid is None and child.due <= time.monotonic() and not self._stopping:
                child.start(lifeline)

    def _look(self) -> None:
        # Signals wake the parent at any time: without the pause each of them would count as a second of silence.
        if time.monotonic() < self._next_look:
            return
        for child in self._children:
            child.kill_if_it_hangs()
        self._next_look = time.monotonic() + BEAT_SECONDS

    def _stop(self, wake: int) -> None:
        _log.info("stopping", grace_seconds=self._grace_seconds)
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds + _MARGIN_SECONDS
        while self._alive() and time.monotonic() < deadline:
            self._wait(wake, deadline)
        for child in self._alive():
            _log.warning("process_killed", process=child.member.name, pid=child.pid)
            child.signal(signal.SIGKILL)
        while self._alive():
            self._wait(wake, None)
        _log.info("stopped")

    def _alive(self) -> list[_Child]:
        for child in self._children:
            child.reap()
        return [child for child in self._children if child.pid is not None]

    def _wait(self, wake: int, until: float | None) -> None:
        """Wait for a signal, at most until a moment of the monotonic clock."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        if select.select([wake], [], [], timeout)[0]:
            os.read(wake, 4096)
