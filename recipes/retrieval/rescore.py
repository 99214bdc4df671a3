"""Inner products of a query with a few items, to the same bits wherever and among whatever an item is scored.

A matrix product adds up a row in an order that depends on the row's place, so that a score would depend on how an item
was found. Here every row is added up in one way.
"""

from __future__ import annotations

import numpy as np

from common.compiled import compiled_sums
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["inner_products"]


@compiled_sums
def inner_products(vectors: FloatArray, items: ItemIndexes, query: FloatArray) -> FloatArray:
    """Multiply the vectors of some items by a query.

    Args:
        vectors: float32 [n_items, d].
        items: int32 [k], from 0 to `n_items` - 1.
        query: float32 [d].

    Returns:
        float32 [k].
    """
    products = np.empty(len(items), np.float32)
    for place in range(len(items)):
        # Unsigned, as an index that may be negative costs a comparison each time.
        row = vectors[np.uint32(items[place])]
        total = np.float32(0.0)
        for column in range(len(query)):
            total += row[column] * query[column]
        products[place] = total
    return products
