"""The port that every index implements."""

from __future__ import annotations

from typing import Protocol

from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["ItemIndex"]


class ItemIndex(Protocol):
    """Finds items by inner product. Immutable once open; safe to share between threads."""

    def nearest(self, query: FloatArray, limit: int) -> ItemIndexes:
        """Find the items of large inner products with a query, in no order.

        Args:
            query: float32 [d].
            limit: Items wanted.

        Returns:
            int32 [k], all different; k is `limit` or all items, most often.
        """

    def search(self, query: FloatArray, limit: int) -> tuple[ItemIndexes, FloatArray]:
        """Find the items whose vectors have the largest inner product with a query.

        Args:
            query: float32 [d].
            limit: Items wanted.

        Returns:
            item: int32 [k] and score: float32 [k], best first, equal scores by item; k is `limit` or all items. The
            scores are exact inner products in every implementation; an approximate one may miss items.
        """
