"""How a process shows its parent that it lives: a counter in shared memory, which costs neither a thread nor a call.

A process that hangs, stopped or with an event loop that something blocks, moves it no more. Silence is counted in looks
of the parent and not in time, so that a machine that slept, or stopped them all, counts against nobody.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

__all__ = ["BEAT_SECONDS", "Beat", "Heartbeat"]

#: What a process calls to show that it lives.
Beat = Callable[[], None]

#: Time between two beats, and between two looks.
BEAT_SECONDS: Final = 1.0
#: A process that has not begun to beat may be silent so many times as long: it opens files before its loop runs.
_START_FACTOR: Final = 4.0


class Heartbeat:
    """The counter of one process and of those that replace it; made by the parent before it forks.

    Args:
        silent_seconds: A process that was silent for so long hangs.
    """

    def __init__(self, *, silent_seconds: float) -> None:
        self._counter = memoryview(mmap.mmap(-1, 8)).cast("Q")
        self._silent_seconds = silent_seconds
        self.begin()

    def beat(self) -> None:
        """Show that this process, the child, lives."""
        self._counter[0] += 1

    def begin(self) -> None:
        """Expect a new process, which is not forked yet; in the parent."""
        self._seen = self._counter[0]
        self._begun = False
        self._silent_looks = 0

    @property
    def silence_seconds(self) -> float:
        """How long the process has been silent, by the looks of the parent."""
        return self._silent_looks * BEAT_SECONDS

    def is_silent(self) -> bool:
        """Look whether the process moved, and return whether it was silent for too long; once per `BEAT_SECONDS`."""
        count = self._counter[0]
        if count != self._seen:
            self._seen, self._begun, self._silent_looks = count, True, 0
            return False
        self._silent_looks += 1
        allowed = self._silent_seconds if self._begun else self._silent_seconds * _START_FACTOR
        return self.silence_seconds >= allowed
