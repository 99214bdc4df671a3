"""Bounds the number of entries that callers can add: beyond it, those that were used longest ago are evicted.

Keys are digests, so the order of keys is random. A hand moves round the keys as in the clock algorithm, and of each few
neighbours the least recently used one is evicted: close to least recently used over all, without an index of ages that
each write would have to update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["ClockEviction"]

#: Neighbours of which one is evicted.
_WINDOW: Final = 8
#: Entries that one call evicts at most: more than one transaction can add, and a second's work, so that a bound that
#: was lowered by millions does not block the process.
_MAX_EVICTED: Final = 50_000


class ClockEviction:
    """Bounds one database of an LMDB environment; transactions are the caller's.

    Args:
        database: The database's handle.
        max_entries: The bound.
        last_used: Returns from a value when it was last used; larger is later.
        evicted: Called with the transaction, the key and when it was last used, after an entry is gone.
    """

    def __init__(
        self,
        database: Any,
        *,
        max_entries: int,
        last_used: Callable[[bytes], int],
        evicted: Callable[[Any, bytes, int], None] | None = None,
    ) -> None:
        self._database = database
        self._max_entries = max_entries
        self._last_used = last_used
        self._evicted = evicted
        self._hand = b"\0"

    def evict(self, transaction: Any) -> int:
        """Evict what is beyond the bound, 50 000 entries at most, and return how many those were."""
        excess: int = transaction.stat(self._database)["entries"] - self._max_entries
        evicted = min(max(excess, 0), _MAX_EVICTED)
        for _ in range(evicted):
            last_used, key = self._oldest_of_next(transaction)
            transaction.delete(key, db=self._database)
            if self._evicted is not None:
                self._evicted(transaction, key, last_used)
        return evicted

    def _oldest_of_next(self, transaction: Any) -> tuple[int, bytes]:
        window: list[tuple[int, bytes]] = []
        with transaction.cursor(self._database) as cursor:
            has_entry = cursor.set_range(self._hand) or cursor.first()
            while has_entry and len(window) < _WINDOW:
                window.append((self._last_used(cursor.value()), cursor.key()))
                has_entry = cursor.next()
            self._hand = cursor.key() if has_entry else b"\0"
        return min(window)
