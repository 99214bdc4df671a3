"""Pauses between attempts that fail one after the other: growing, bounded, and a little random where many wait.

Only the length of a pause is decided here. Whoever pauses waits for something else meanwhile (a stop, a change, the
next round), so each waits in its own way.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

__all__ = ["Backoff", "BackoffPolicy"]

#: Beyond so many doublings any pause has long reached its bound, and a float would overflow at a thousand.
_MAX_DOUBLINGS: Final = 64


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """Exponential back-off that never gives up.

    Attributes:
        first_seconds: Pause after the first failure; doubled for each further one in a row.
        longest_seconds: Pause at most.
        jitter: Share of each pause, 0 to 1, that is left to chance: many that lost one peer must not come back in the
            same moment.
    """

    first_seconds: float
    longest_seconds: float
    jitter: float = 0.0

    def pause_seconds(self, failures: int) -> float:
        """Return how long to pause after the last of `failures` in a row, at least 1."""
        seconds = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
        return seconds * random.uniform(1.0 - self.jitter, 1.0) if self.jitter else seconds


class Backoff:
    """Counts failures in a row.

    Args:
        policy: Length of the pauses.
    """

    def __init__(self, policy: BackoffPolicy) -> None:
        self._policy = policy
        #: Failures since the last success.
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; return how many seconds to pause before the next attempt."""
        self.failures += 1
        return self._policy.pause_seconds(self.failures)

    def succeeded(self) -> None:
        """Begin anew: the next failure is the first."""
        self.failures = 0
