"""Which items with score deltas can be among the best, by what a search says that it did not find at most.

Rules of a history lead to a thousand items and more, most of them by little and far behind. Scoring them would read
their vectors from all over the catalogue.
"""

from __future__ import annotations

import numba
import numpy as np

from common.compiled import FLOATS, INTS, compiled_for
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.data.item_table import item_table, look_up, place_in
from recipes.retrieval.top_k import reached_by

__all__ = ["reaching_deltas"]


@compiled_for(INTS, FLOATS, INTS, FLOATS, numba.float64, numba.int64)
def reaching_deltas(
    nearest: ItemIndexes, products: FloatArray, items: ItemIndexes, values: FloatArray, bound: float, depth: int
) -> tuple[FloatArray, ItemIndexes, FloatArray]:
    """Find those items with deltas that can be among the best `depth`.

    Args:
        nearest: int32 [m], what a search found, all different.
        products: float32 [m], their inner products with the query.
        items: int32 [k], of the deltas, all different.
        values: float32 [k], of the deltas.
        bound: What the product of any other item is at most; infinite where nothing is known.
        depth: Best items wanted, at least 1.

    Returns:
        float32 [m], what is added to each of `nearest`; of the other items with deltas those that can be among the
        best, int32 [l], and what is added to each: float32 [l].
    """
    table, listed = item_table(len(nearest)), np.empty(len(nearest), np.int32)
    for place in range(len(nearest)):
        place_in(table, listed, place, nearest[place])
    added = np.zeros(len(nearest), np.float32)
    others, other_values, count = np.empty(len(items), np.int32), np.empty(len(items), np.float32), 0
    for place in range(len(items)):
        at = look_up(table, listed, items[place])
        if at >= 0:
            added[at] = values[place]
        else:
            others[count], other_values[count] = items[place], values[place]
            count += 1
    # With fewer than are wanted any other item may be among them.
    least = reached_by(products + added, depth) if len(nearest) >= depth else np.float32(-np.inf)
    highest, kept = np.float32(bound), 0
    for place in range(count):
        # Rounding keeps the order: a smaller product with the same delta comes to no more.
        if highest + other_values[place] >= least:
            others[kept], other_values[kept] = others[place], other_values[place]
            kept += 1
    return added, others[:kept].copy(), other_values[:kept].copy()
