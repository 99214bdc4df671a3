"""The port that every index implements."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["ItemIndex", "Nearest"]


class Nearest(NamedTuple):
    """What a search found.

    Attributes:
        items: int32 [k], all different, in no order.
        proven: Whether the best `limit` items are among them for certain.
        bound: What the product of any other item is at most, of those that may be found; infinite where that is not
            known.
    """

    items: ItemIndexes
    proven: bool
    bound: float = math.inf


class ItemIndex(Protocol):
    """Finds items by inner product. Immutable once open; safe to share between threads."""

    def nearest(self, query: FloatArray, limit: int) -> Nearest:
        """Find items of large inner products with a query.

        Args:
            query: float32 [d].
            limit: Items wanted, at least 1.

        Returns:
            `limit` items or more, fewer where there are fewer or no more were looked at. They are not scored:
            `recipes.retrieval.rescore` does that, the same way for every index.
        """
