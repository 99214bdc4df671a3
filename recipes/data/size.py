"""How much data there is to learn from, before any of it is read."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DataSize"]


class DataSize(NamedTuple):
    """Numbers of users, items and interactions; the first two may be estimates.

    Attributes:
        users: With interactions that are learnt from.
        items: With them, or described.
        interactions: That are learnt from.
        left_out: Interactions of other event types, which are loaded with them.
    """

    users: int
    items: int
    interactions: int
    left_out: int = 0

    def pairs(self, *, row_limit: int | None = None) -> int:
        """Return about how many pairs of items the same users have used, in either order.

        Every use of an item brings it together with the others of its user, both as many as on the mean; items that
        were used together before are counted again, so it is rather too many.

        Args:
            row_limit: Pairs of an item that are kept at most; None for all.
        """
        uses, length = self.interactions / max(1, self.items), self.interactions / max(1, self.users)
        limit = self.items if row_limit is None else min(row_limit, self.items)
        return round(self.items * min(limit, uses * length))
