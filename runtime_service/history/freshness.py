"""Whether the histories of this host are up to date: the process that reads the log says so, and the workers look."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from common.private_files import private_file

__all__ = ["Freshness"]


class Freshness:
    """When the log was last read to its end: the time of a file, which costs a worker one look at the disk's cache.

    Args:
        path: Of the file.
        limit_seconds: Histories are late when it was longer ago.
        now: Tells the present moment in seconds since 1970.
    """

    def __init__(self, path: Path, *, limit_seconds: float, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self.limit_seconds = limit_seconds
        self._now = now

    def note(self) -> None:
        """Say that the log has just been read to its end."""
        private_file(self._path)
        moment = self._now()
        os.utime(self._path, (moment, moment))

    def age(self) -> float | None:
        """Return how many seconds ago the log was read to its end; None for never on this host."""
        try:
            return max(0.0, self._now() - self._path.stat().st_mtime)
        except FileNotFoundError:
            return None

    def is_late(self) -> bool:
        """Return whether that was too long ago."""
        age = self.age()
        return age is None or age > self.limit_seconds
