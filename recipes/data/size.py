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
