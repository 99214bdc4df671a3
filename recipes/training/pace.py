"""Reports from within an epoch, at a bounded rate: a person wants to see work move, not every batch of it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Lets a report through now and then.

    Args:
        tell: Told the share that is done, 0 to 1; may raise to stop the work.
        seconds: Least time between two reports, and before the first.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, tell: Callable[[float], None], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    def done(self, share: float, *, wait: Callable[[], object]) -> None:
        """Report if it is time.

        Args:
            share: Share of the work that has been handed over.
            wait: Returns when it is done: work runs behind the thread that hands it over.
        """
        if self._clock() - self._last < self._seconds:
            return
        wait()
        self._last = self._clock()
        self._tell(share)
