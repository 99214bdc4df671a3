"""How many calls a server takes at a time, and how long each may take: the bounds around all of them.

A call is noted when its caller is known and forgotten when its task is over. In between it has an end, a moment that
is moved as it proceeds: the message has to come soon, then the work has the caller's time (or, where the caller named
none, the time that a channel of ours would give it), then the answer has to be taken. One look a second ends whatever
is beyond its end; a call in good order costs an entry in a dictionary and no timer.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from common.errors import DeadlineExceeded, TailorbirdError, Throttled, Unavailable
from common.settings import CallLimits

__all__ = ["Calls"]

_LOOK_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.1
Task = asyncio.Task[Any]


class Calls:
    """The calls of one server that are in progress; used on its event loop only.

    Args:
        limits: The bounds.
        most: How many there may be at a time; None sets no bound.
        most_receiving: How many may be without their message at a time; None sets no bound. Where one more comes, the
            one that has waited longest is ended, so that whoever sends its message is served, however many do not.
    """

    def __init__(self, limits: CallLimits, *, most: int | None = None, most_receiving: int | None = None) -> None:
        self.limits = limits
        self._most = math.inf if most is None else most
        self._most_receiving = math.inf if most_receiving is None else most_receiving
        # Dictionaries keep the order.
        self._receiving: dict[Task, None] = {}
        self._ends: dict[Task, float] = {}
        self._reasons: dict[Task, TailorbirdError] = {}
        self._closed = False
        self._turned_away = 0

    def __len__(self) -> int:
        return len(self._ends)

    def enter(self, *, seconds: float) -> Task:
        """Note the present task as a call that ends in `seconds`, unless it proceeds.

        Raises:
            Unavailable: The process stops.
            Throttled: There are too many.
        """
        if self._closed:
            self._turned_away += 1
            raise _stopping()
        if len(self._ends) >= self._most:
            raise Throttled(f"service: got {len(self._ends)} calls at a time, want fewer; try again later")
        task = asyncio.current_task()
        assert task is not None
        self._ends[task] = asyncio.get_running_loop().time() + seconds
        self._receiving[task] = None
        task.add_done_callback(self._forget)
        if len(self._receiving) > self._most_receiving:
            reason = f"call: more than {self._most_receiving} others have not sent their message, want it sent at once"
            self._end(next(iter(self._receiving)), Throttled(reason))
        return task

    def proceed(self, task: Task, *, seconds: float) -> None:
        """Give a call, whose message has come, `seconds` from now on; `math.inf` gives it no end."""
        self._receiving.pop(task, None)
        if task not in self._reasons:
            self._ends[task] = task.get_loop().time() + seconds

    def ended(self, task: Task) -> TailorbirdError | None:
        """Return why a call was ended here, or None when its cancellation comes from elsewhere: the caller left."""
        return self._reasons.get(task)

    async def watch_over(self) -> None:
        """End calls that are beyond their end, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = loop.time()
            late = [task for task, end in self._ends.items() if end < now]
            for task in late:
                self._end(task, DeadlineExceeded("call: it is beyond its time, want a caller who sends and reads"))

    async def close(self, *, seconds: float) -> None:
        """Let no call in any more, and return once none has come for a moment, at the latest after `seconds`."""
        self._closed = True
        loop = asyncio.get_running_loop()
        deadline, known = loop.time() + seconds, -1
        while self._turned_away != known and loop.time() < deadline:
            known = self._turned_away
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

    def _forget(self, task: Task) -> None:
        self._ends.pop(task, None)
        self._receiving.pop(task, None)
        self._reasons.pop(task, None)


def _stopping() -> Unavailable:
    return Unavailable("service: it is stopping, want another process or a later attempt")
