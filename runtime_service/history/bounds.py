"""Keeps what callers can make grow below a number of entries: beyond it, what was touched longest ago is forgotten.

Keys are digests, so neighbours have nothing to do with each other. A hand goes round the keys as the clock algorithm's
does, and of each few neighbours the one that was touched longest ago goes: near enough to the oldest of all, without an
index of ages that each write would have to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["Bound"]

#: Neighbours of which one goes.
_WINDOW: Final = 8
#: Entries that go at once at most: more than one transaction can add, and a second's work, so that a bound that was
#: lowered by millions does not make a process look as if it hung.
_AT_ONCE: Final = 50_000


class Bound:
    """Of one database of an LMDB environment; transactions are the caller's.

    Args:
        database: Which.
        most: Entries at most.
        touched: Tells from a value when it was last touched; larger is later.
    """

    def __init__(self, database: Any, *, most: int, touched: Callable[[bytes], int]) -> None:
        self._database = database
        self._most = most
        self._touched = touched
        self._hand = b"\0"

    def keep(self, transaction: Any) -> int:
        """Remove what is too much, 50 000 entries at most, and return how many that was."""
        beyond: int = transaction.stat(self._database)["entries"] - self._most
        removed = min(max(beyond, 0), _AT_ONCE)
        for _ in range(removed):
            transaction.delete(self._oldest_of_next(transaction), db=self._database)
        return removed

    def _oldest_of_next(self, transaction: Any) -> bytes:
        found: list[tuple[int, bytes]] = []
        with transaction.cursor(self._database) as cursor:
            there = cursor.set_range(self._hand) or cursor.first()
            while there and len(found) < _WINDOW:
                found.append((self._touched(cursor.value()), cursor.key()))
                there = cursor.next()
            self._hand = cursor.key() if there else b"\0"
        return min(found)[1]
