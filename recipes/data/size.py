"""How much data there is to learn from, before any of it is read."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DataSize"]


class DataSize(NamedTuple):
    """Numbers of users, items and interactions; the first two may be estimates."""

    users: int
    items: int
    interactions: int
