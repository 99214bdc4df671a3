"""Exact search: all items are scored, as serving scores them. Cheapest in small catalogues, and what is right."""

from __future__ import annotations

import numpy as np

from recipes.data.histories import FloatArray
from recipes.retrieval.interface import Nearest
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.top_k import top_k

__all__ = ["ExactIndex"]


class ExactIndex:
    """Scores every item; see `recipes.retrieval.interface.ItemIndex`.

    By the loop by which requests score all items, not by a matrix product: calibration compares what serving costs.

    Args:
        item_vectors: float32 [n_items, d], mapped or in memory.
    """

    def __init__(self, item_vectors: FloatArray) -> None:
        self._item_vectors = item_vectors
        self._items = np.arange(len(item_vectors), dtype=np.int32)

    def nearest(self, query: FloatArray, limit: int) -> Nearest:
        """Find the items of the largest inner products."""
        return Nearest(top_k(inner_products(self._item_vectors, self._items, query), limit), proven=True)
