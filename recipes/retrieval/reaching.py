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

__all__ = ["best_of_both", "lowered_among", "reaching_deltas"]


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


@compiled_for(INTS, FLOATS, INTS, FLOATS, numba.int64)
def lowered_among(
    nearest: ItemIndexes, products: FloatArray, items: ItemIndexes, values: FloatArray, limit: int
) -> int:
    """Count the items with deltas below zero that push others out of the first places of what a search found.

    Args:
        nearest: int32 [m], what it found, all different.
        products: float32 [m], their inner products with the query.
        items: int32 [k], of the deltas, all different.
        values: float32 [k], of the deltas.
        limit: Places, at least 1.

    Returns:
        How many of them have a product that reaches the `limit`-th largest one of the others.
    """
    lowered, count = np.empty(len(items), np.int32), 0
    for place in range(len(items)):
        if values[place] < 0.0:
            lowered[count] = items[place]
            count += 1
    table, listed = item_table(count), np.empty(count, np.int32)
    for place in range(count):
        place_in(table, listed, place, lowered[place])
    is_lowered, others = np.empty(len(nearest), np.bool_), products.copy()
    for place in range(len(nearest)):
        is_lowered[place] = look_up(table, listed, nearest[place]) >= 0
        if is_lowered[place]:
            others[place] = -np.inf
    last = reached_by(others, limit) if len(others) >= limit else np.float32(-np.inf)
    pushing = 0
    for place in range(len(nearest)):
        pushing += is_lowered[place] and products[place] >= last
    return pushing


@compiled_for(INTS, FLOATS, FLOATS, INTS, FLOATS, FLOATS, numba.int64)
def best_of_both(
    nearest: ItemIndexes,
    products: FloatArray,
    added: FloatArray,
    others: ItemIndexes,
    other_products: FloatArray,
    values: FloatArray,
    depth: int,
) -> tuple[ItemIndexes, FloatArray]:
    """Choose the best `depth` of what a search found and of other items, and all that score as much as the last.

    Args:
        nearest: int32 [m], what it found, all different.
        products: float32 [m], their inner products with the query.
        added: float32 [m], what is added to these.
        others: int32 [l], all different, and from `nearest` as well.
        other_products: float32 [l], likewise.
        values: float32 [l], likewise.
        depth: Best items wanted, at least 1.

    Returns:
        int32 [n], ascending, and what is added to the product of each: float32 [n].
    """
    size = len(nearest) + len(others)
    scores = np.empty(size, np.float32)
    for place in range(len(nearest)):
        scores[place] = products[place] + added[place]
    for place in range(len(others)):
        scores[len(nearest) + place] = other_products[place] + values[place]
    least = reached_by(scores, depth) if size > depth else np.float32(-np.inf)
    items, changes, count = np.empty(size, np.int32), np.empty(size, np.float32), 0
    for place in range(size):
        if scores[place] >= least:
            is_near = place < len(nearest)
            items[count] = nearest[place] if is_near else others[place - len(nearest)]
            changes[count] = added[place] if is_near else values[place - len(nearest)]
            count += 1
    order = np.argsort(items[:count])
    return items[order], changes[order]
