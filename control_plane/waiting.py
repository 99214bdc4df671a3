"""Long polls: calls that wait for something to happen, without ever taking the last thread.

Waiting calls are woken by commits of this process and look for themselves twice a second for those of others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Bell", "LongPolls"]

T = TypeVar("T")


class Bell:
    """Wakes whoever waits."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung; pass it to `wait` to miss no ring in between."""
        return self._rings

    def ring(self) -> None:
        """Wake all."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, *, seconds: float) -> None:
        """Return when it has rung more than `rings` times, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings > rings, timeout=seconds)


class LongPolls:
    """Lets a bounded number of calls wait.

    Args:
        bell: Rings when what is waited for may have come.
        max_waiting: Calls that may wait at a time; one more is answered as if its wait were 0.
        look_seconds: How often a waiting call looks without being woken.
    """

    def __init__(self, bell: Bell, *, max_waiting: int, look_seconds: float = 0.5) -> None:
        self._bell = bell
        self._places = threading.BoundedSemaphore(max_waiting)
        self._look_seconds = look_seconds
        self._closed = threading.Event()

    def until(self, attempt: Callable[[], T | None], *, seconds: float, wanted: Callable[[], bool]) -> T | None:
        """Try until there is a result.

        Args:
            attempt: Returns the result, or None when there is none yet.
            seconds: How long to wait at most.
            wanted: Whether the caller is still there.

        Returns:
            The result, or None when the time is over, too many others wait, or the process is stopping.
        """
        rings = self._bell.rings
        result = attempt()
        if result is not None or seconds <= 0 or not self._places.acquire(blocking=False):
            return result
        try:
            deadline = time.monotonic() + seconds
            while result is None and not self._closed.is_set() and wanted():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._bell.wait(rings, seconds=min(left, self._look_seconds))
                rings = self._bell.rings
                # The caller may have gone while the call waited; what is handed to nobody is lost.
                if wanted():
                    result = attempt()
        finally:
            self._places.release()
        return result

    def close(self) -> None:
        """Answer all who wait, and let nobody wait any more."""
        self._closed.set()
        self._bell.ring()
