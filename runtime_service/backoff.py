"""Pauses between attempts to reach a peer, growing and a little random, with one log line per change of state."""

from __future__ import annotations

import asyncio
import random

from common.contact import PeerContact
from common.errors import TailorbirdError

__all__ = ["Backoff"]


class Backoff:
    """Counts failures in a row.

    Args:
        first_seconds: Pause after the first failure; doubled for each further one.
        longest_seconds: Pause at most.
        quiet_seconds: How long the first success may be away before failures are warnings; see `PeerContact`.
    """

    def __init__(
        self, *, first_seconds: float = 0.05, longest_seconds: float = 2.0, quiet_seconds: float = 0.0
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._failures = 0
        self._contact = PeerContact(quiet_seconds=quiet_seconds)

    async def pause(self, event: str, error: TailorbirdError) -> None:
        """Wait after a failure; the first in a row is logged under the name `event`."""
        self._contact.failed(event, error)
        seconds = min(self._longest, self._first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        # Many workers that lost one peer must not come back in the same moment.
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))

    def succeeded(self, event: str) -> None:
        """Note a success; the first after failures is logged under the name `event`."""
        self._contact.succeeded(event)
        self._failures = 0
