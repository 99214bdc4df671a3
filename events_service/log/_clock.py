"""The time by which events grow old: the wall clock's, but never believed when it runs ahead of what really passed.

A clock that is set thirty days ahead would have the whole log removed at once. So this one never goes back, and while
the process runs it advances at most twice as fast as time passes; after a pause of the process it catches up at that
pace. An event that is stamped with it is kept for at least half of its retention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.clock import Clock

__all__ = ["LogClock"]

_FASTEST: Final = 2.0


class LogClock:
    """Tells milliseconds since 1970; safe to share between threads.

    Args:
        wall: The machine's clock.
        monotonic: Returns seconds on a clock that nobody sets.
        newest_millis: What this clock last said, as far as that was kept; None for a new log, which believes the wall.
    """

    def __init__(self, wall: Clock, monotonic: Callable[[], float], *, newest_millis: int | None) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._began = monotonic()
        self._base = self._wall_millis() if newest_millis is None else newest_millis

    def now_millis(self) -> int:
        """Return the present moment."""
        fastest = self._base + int(_FASTEST * 1000 * (self._monotonic() - self._began))
        return max(self._base, min(self._wall_millis(), fastest))

    def _wall_millis(self) -> int:
        return int(self._wall.now().timestamp() * 1000)
