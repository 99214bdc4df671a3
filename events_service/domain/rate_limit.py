"""How often a table may be committed to: at once when it was quiet, seldom when events never end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace", "TokenBucket"]


@dataclass(frozen=True, slots=True)
class Pace:
    """What limits the commits of one table.

    Every commit is one more file of the table and one more entry of its history. A few at once do no harm, and let a
    training see the events that were sent right before it; thousands of tiny ones make every reading slow.

    Attributes:
        burst: Commits that a table which was quiet may get one after another.
        steady_seconds: Pause between commits after those; also what it takes to regain one of the burst.
        large_events: So many events that wait are worth a commit at any time.
    """

    burst: int
    steady_seconds: float
    large_events: int


class TokenBucket:
    """One table's commits, counted by the token bucket: `burst` tokens, one more every `steady_seconds`.

    Kept as the moment when the bucket will be full again, which no rounding can blur.

    Args:
        pace: The limits.
        now_seconds: The present, on any clock that never goes back.
    """

    def __init__(self, pace: Pace, now_seconds: float) -> None:
        self._pace = pace
        self._full_at_seconds = now_seconds

    def permits(self, waiting_events: int, now_seconds: float) -> bool:
        """Tell whether so many waiting events may be committed now."""
        one_left = (self._pace.burst - 1) * self._pace.steady_seconds
        return self._full_at_seconds - now_seconds <= one_left or waiting_events >= self._pace.large_events

    def spend(self, now_seconds: float) -> None:
        """Count a commit; one that no token was there for leaves no debt."""
        empty = now_seconds + self._pace.burst * self._pace.steady_seconds
        self._full_at_seconds = min(empty, max(self._full_at_seconds, now_seconds) + self._pace.steady_seconds)
