"""Long polls: calls that wait for something to happen, without holding a thread while they do.

Waiting calls are woken by commits of this process and look for themselves twice a second for those of others. Each look
is a piece of blocking work on the threads of all calls; in between there is nothing but a future.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from common.change_notifier import ChangeNotifier

__all__ = ["LongPolls"]

T = TypeVar("T")


class LongPolls:
    """Lets a bounded number of calls wait.

    A caller who leaves ends its wait, because gRPC cancels the task that serves it: nothing is looked for on behalf of
    somebody who is gone.

    Args:
        bell: Rings when what is waited for may have come.
        max_waiting: Calls that may wait at a time; one more is answered as if its wait were 0.
        look_seconds: How often a waiting call looks without being woken.
    """

    def __init__(self, bell: ChangeNotifier, *, max_waiting: int, look_seconds: float = 0.5) -> None:
        self._bell = bell
        self._max_waiting = max_waiting
        self._look_seconds = look_seconds
        self._waiting = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting

    async def until(self, attempt: Callable[[], T | None], *, seconds: float) -> T | None:
        """Try until there is a result.

        Args:
            attempt: Returns the result, or None when there is none yet; run in a thread.
            seconds: How long to wait at most.

        Returns:
            The result, or None when the time is over, too many others wait, or the process is stopping.
        """
        deadline = time.monotonic() + seconds
        rings = self._bell.rings
        result = await asyncio.to_thread(attempt)
        if result is not None or self._waiting >= self._max_waiting:
            return result
        self._waiting += 1
        try:
            while result is None and not self._closed and (left := deadline - time.monotonic()) > 0:
                await self._bell.wait(rings, seconds=min(left, self._look_seconds))
                rings = self._bell.rings
                result = await asyncio.to_thread(attempt)
        finally:
            self._waiting -= 1
        return result

    def close(self) -> None:
        """Answer all who wait, and let nobody wait any more."""
        self._closed = True
        self._bell.ring()
