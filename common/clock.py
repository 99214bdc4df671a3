"""The time of day as a constructor argument, so that tests control it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """A source of the time of day."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        ...

    def timestamp(self) -> float:
        """Return the present time in seconds since 1970-01-01 UTC; cheaper than `now`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        return datetime.fromtimestamp(time.time(), tz=UTC)

    def timestamp(self) -> float:
        """Return the present time in seconds since 1970-01-01 UTC."""
        return time.time()


class ManualClock:
    """A clock that only tests advance; safe to share between threads."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time that was set."""
        with self._lock:
            return self._now

    def timestamp(self) -> float:
        """Return the time that was set, in seconds since 1970-01-01 UTC."""
        return self.now().timestamp()

    def advance(self, *, seconds: float) -> None:
        """Advance by `seconds`."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
