"""The clock by which the records of a log age."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.clock import Clock

__all__ = ["LogClock"]

#: How fast the log's clock may advance, as a multiple of the time that passes.
_MAX_CLOCK_RATE: Final = 2.0


class LogClock:
    """The time by which records age, in milliseconds since 1970; safe to share between threads.

    It follows the wall clock, but never goes back, and advances at most twice as fast as time passes: a wall clock that
    is set thirty days ahead would otherwise have the whole log removed at once. After a pause of the process it catches
    up at that rate, so a record that is stamped with it is kept for at least half of its retention.

    Args:
        wall: The machine's clock.
        monotonic: Returns seconds on a clock that nobody sets.
        newest_millis: The newest time that this clock is known to have given; None for a new log, which starts with the
            wall clock.
    """

    def __init__(self, wall: Clock, monotonic: Callable[[], float], *, newest_millis: int | None) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._began = monotonic()
        self._base = self._wall_millis() if newest_millis is None else newest_millis

    def now_millis(self) -> int:
        """Return the present time."""
        fastest = self._base + int(_MAX_CLOCK_RATE * 1000 * (self._monotonic() - self._began))
        return max(self._base, min(self._wall_millis(), fastest))

    def _wall_millis(self) -> int:
        return int(self._wall.now().timestamp() * 1000)
