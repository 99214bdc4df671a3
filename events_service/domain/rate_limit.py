"""How often a table may be committed to: at once after a quiet time, at long intervals while events never end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CommitRateLimit", "TokenBucket"]


@dataclass(frozen=True, slots=True)
class CommitRateLimit:
    """The limits of one table's commits.

    Every commit is one more file of the table and one more entry of its history. A few at once do no harm, and let a
    training see the events that were sent right before it; thousands of tiny ones make every reading slow.

    Attributes:
        burst: Commits that a table may get one after another after a quiet time.
        steady_seconds: Pause between commits after those; also the time in which one commit of the burst is regained.
        large_events: So many pending events are worth a commit at any time.
    """

    burst: int
    steady_seconds: float
    large_events: int


class TokenBucket:
    """One table's commits, counted by the token bucket: `burst` tokens, one more every `steady_seconds`.

    The state is the moment when the bucket will be full again, so that no rounding error adds up.

    Args:
        limit: The table's limits.
        now_seconds: The present time, on any monotonic clock.
    """

    def __init__(self, limit: CommitRateLimit, now_seconds: float) -> None:
        self._limit = limit
        self._full_at_seconds = now_seconds

    def permits(self, pending_events: int, now_seconds: float) -> bool:
        """Return whether so many pending events may be committed now."""
        one_left = (self._limit.burst - 1) * self._limit.steady_seconds
        return self._full_at_seconds - now_seconds <= one_left or pending_events >= self._limit.large_events

    def spend(self, now_seconds: float) -> None:
        """Count a commit; one that was made without a token leaves no debt."""
        empty = now_seconds + self._limit.burst * self._limit.steady_seconds
        self._full_at_seconds = min(empty, max(self._full_at_seconds, now_seconds) + self._limit.steady_seconds)
