"""Limits of the calls in progress: how many there are and how long they waited, and how long each phase may take.

A call is registered when its caller is authenticated and removed when its task is over. In between it has an end time
that moves as it proceeds: the message has to arrive soon, then the method has the caller's deadline (or that of our own
channels if the caller sent none), then the response has to be read. Once a second, calls beyond their end are
cancelled; so a call costs an entry in a dictionary and no timer.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from common.errors import DeadlineExceeded, TailorbirdError, Throttled, Unavailable
from common.rpc.waits import CallWaits
from common.settings import CallLimits

__all__ = ["Calls"]

_CHECK_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.1
Task = asyncio.Task[Any]


class Calls:
    """The calls of one server that are in progress; used on its event loop only.

    Args:
        limits: The bounds.
        waits: Is told when a call is over, and tells how long calls have waited before they came here.
        sheds: Whether calls are refused because of that.
        max_calls: How many there may be at a time; None sets no bound.
        max_receiving: How many may be without their message at a time; None sets no bound. Beyond it, the one that has
            waited longest is ended, so that callers who send their message are served, however many do not.
    """

    def __init__(
        self,
        limits: CallLimits,
        waits: CallWaits,
        *,
        sheds: bool = False,
        max_calls: int | None = None,
        max_receiving: int | None = None,
    ) -> None:
        self.limits = limits
        self._waits = waits
        self._sheds = sheds
        self._max_calls = math.inf if max_calls is None else max_calls
        self._max_receiving = math.inf if max_receiving is None else max_receiving
        # Dictionaries, for their order.
        self._receiving: dict[Task, None] = {}
        self._ends: dict[Task, float] = {}
        self._reasons: dict[Task, TailorbirdError] = {}
        self._closed = False
        self._n_rejected = 0

    def __len__(self) -> int:
        return len(self._ends)

    def enter(self, *, seconds: float) -> Task:
        """Register the current task as a call that ends in `seconds`, unless it proceeds.

        Raises:
            Unavailable: The process is stopping.
            Throttled: Too many calls are in progress, or those that are handed over have waited for too long.
        """
        if self._closed:
            self._n_rejected += 1
            raise _stopping()
        if len(self._ends) >= self._max_calls:
            raise Throttled(f"service: got {len(self._ends)} calls at a time, want fewer; try again later")
        if self._sheds and self._waits.is_too_long():
            waited = f"more than {self._waits.limit_seconds:g} s"
            raise Throttled(f"service: calls have waited for {waited}, want fewer; try again later")
        task = asyncio.current_task()
        assert task is not None
        self._ends[task] = asyncio.get_running_loop().time() + seconds
        self._receiving[task] = None
        task.add_done_callback(self._remove)
        if len(self._receiving) > self._max_receiving:
            reason = f"call: more than {self._max_receiving} others have not sent their message, want it sent at once"
            self._end(next(iter(self._receiving)), Throttled(reason))
        return task

    def proceed(self, task: Task, *, seconds: float) -> None:
        """Let a call, whose message has arrived, end in `seconds` from now; `math.inf` for no end."""
        self._receiving.pop(task, None)
        if task not in self._reasons:
            self._ends[task] = task.get_loop().time() + seconds

    def end_reason(self, task: Task) -> TailorbirdError | None:
        """Return why a call was ended here; None when it was cancelled because its caller left."""
        return self._reasons.get(task)

    async def expire(self) -> None:
        """End calls that are beyond their time, periodically, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = loop.time()
            late = [task for task, end in self._ends.items() if end < now]
            for task in late:
                self._end(task, DeadlineExceeded("call: it is beyond its time, want a caller who sends and reads"))

    async def close(self, *, seconds: float) -> None:
        """Reject new calls, and return once none has come for a moment, at the latest after `seconds`."""
        self._closed = True
        loop = asyncio.get_running_loop()
        deadline, n_before = loop.time() + seconds, -1
        while self._n_rejected != n_before and loop.time() < deadline:
            n_before = self._n_rejected
            await asyncio.sleep(min(_QUIET_SECONDS, seconds))

    def end_all(self) -> None:
        """End all calls."""
        for task in list(self._ends):
            self._end(task, _stopping())

    def _end(self, task: Task, reason: TailorbirdError) -> None:
        self._ends[task] = math.inf
        self._receiving.pop(task, None)
        self._reasons[task] = reason
        task.cancel()

    def _remove(self, task: Task) -> None:
        self._ends.pop(task, None)
        self._receiving.pop(task, None)
        self._reasons.pop(task, None)
        self._waits.end()


def _stopping() -> Unavailable:
    return Unavailable("service: it is stopping, want another process or a later attempt")
