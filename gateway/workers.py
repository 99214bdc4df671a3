"""What the workers of one gateway know of each other: whether all of them have started.

A port that several processes share gives a connection to one of them. The first that listens would answer a health
check for all, and its callers would get a part of the gateway only: it is ready once every worker has started. One that
ends later and is started again takes none of that back, since the others answer meanwhile.
"""

from __future__ import annotations

import mmap

__all__ = ["StartedWorkers"]


class StartedWorkers:
    """Which workers have started, in memory that they share; made before they are forked.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int) -> None:
        self._marks = mmap.mmap(-1, count)

    def mark(self, number: int) -> None:
        """Note that a worker accepts connections.

        Args:
            number: Of the worker, from 0.
        """
        self._marks[number] = 1

    def all_started(self) -> bool:
        """Return whether every worker has accepted connections at some time."""
        return self._marks.find(b"\0") < 0
