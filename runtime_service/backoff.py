"""Pauses between attempts to reach a peer, growing and a little random, with one log line per change of state."""

from __future__ import annotations

import asyncio
import random

from common.errors import TailorbirdError
from common.logs import get_logger

__all__ = ["Backoff"]

_log = get_logger(__name__)


class Backoff:
    """Counts failures in a row.

    Args:
        first_seconds: Pause after the first failure; doubled for each further one.
        longest_seconds: Pause at most.
    """

    def __init__(self, *, first_seconds: float = 0.05, longest_seconds: float = 2.0) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._failures = 0

    async def pause(self, event: str, error: TailorbirdError) -> None:
        """Wait after a failure; the first in a row is logged under the name `event`."""
        if self._failures == 0:
            _log.warning(event, reason=error.reason, message=error.message)
        seconds = min(self._longest, self._first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        # Many workers that lost one peer must not come back in the same moment.
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))

    def succeeded(self, event: str) -> None:
        """Note a success; the first after failures is logged under the name `event`."""
        if self._failures:
            _log.info(event, failures=self._failures)
            self._failures = 0
