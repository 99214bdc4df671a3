"""Long polls: calls that wait for something to happen, without holding a thread while they do.

Whoever changes something notifies, from any thread; a waiting call then looks again. Each look is a piece of blocking
work on the threads of all calls; in between there is nothing but a future.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["ChangeNotifier", "LongPolls"]

T = TypeVar("T")


class ChangeNotifier:
    """Wakes coroutines of any event loop, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def changes(self) -> int:
        """Changes so far; pass it to `wait` to miss none in between."""
        return self._changes

    def notify(self) -> None:
        """Count a change and wake everybody who waits."""
        with self._lock:
            self._changes += 1
            waiters, self._waiters = self._waiters, set()
        for future in waiters:
            try:
                future.get_loop().call_soon_threadsafe(_complete, future)
            except RuntimeError:
                continue  # its loop was closed in between: nobody waits there any more

    async def wait(self, changes: int, *, seconds: float) -> None:
        """Return when there were more than `changes` changes, or the time is over.

        Args:
            changes: As read from `changes`, before the look that found nothing.
            seconds: How long to wait at most.
        """
        if seconds <= 0:
            return
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._changes > changes:
                return
            self._waiters.add(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            with self._lock:
                self._waiters.discard(future)


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class LongPolls:
    """Lets a bounded number of calls wait.

    A caller who leaves ends its wait, because gRPC cancels the task that serves it: nothing is looked for on behalf of
    somebody who is gone.

    Args:
        changed: Notified when what is waited for may have come.
        max_waiting: Calls that may wait at a time; one more is answered as if its wait were 0.
        look_seconds: How often a waiting call looks without a notification, where other processes change something too.
    """

    def __init__(self, changed: ChangeNotifier, *, max_waiting: int, look_seconds: float = math.inf) -> None:
        self._changed = changed
        self._max_waiting = max_waiting
        self._look_seconds = look_seconds
        self._n_waiting = 0
        self._closed = False

    @property
    def n_waiting(self) -> int:
        """Calls that wait now."""
        return self._n_waiting

    async def until(self, attempt: Callable[[], T | None], *, seconds: float) -> T | None:
        """Try until there is a result.

        Args:
            attempt: Returns the result, or None when there is none yet; run in a thread. What it raises is raised here.
            seconds: How long to wait at most; 0 and less make one attempt.

        Returns:
            The result, or None when the time is over, too many others wait, or the process is stopping.
        """
        deadline = time.monotonic() + seconds
        changes = self._changed.changes
        result = await asyncio.to_thread(attempt)
        if result is not None or self._n_waiting >= self._max_waiting:
            return result
        self._n_waiting += 1
        try:
            while result is None and not self._closed and (left := deadline - time.monotonic()) > 0:
                await self._changed.wait(changes, seconds=min(left, self._look_seconds))
                changes = self._changed.changes
                result = await asyncio.to_thread(attempt)
        finally:
            self._n_waiting -= 1
        return result

    def close(self) -> None:
        """Answer all who wait, and let nobody wait any more."""
        self._closed = True
        self._changed.notify()
