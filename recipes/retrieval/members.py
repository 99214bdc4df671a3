"""Which of a few items are in a set of many: a look at a bit and a short bisection for each, without arrays between."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from common.compiled import INTS, compiled_for
from recipes.data.histories import ItemIndexes

__all__ = ["members"]

_BITS = numba.types.Array(numba.boolean, 1, "C", readonly=True)


def members(allowed: NDArray[np.bool_], removed: ItemIndexes, items: ItemIndexes) -> NDArray[np.bool_]:
    """Return which items are allowed and not removed: bool [k].

    Args:
        allowed: bool [n]; items from n on are not allowed.
        removed: int32 [m], ascending.
        items: int32 [k], not negative, in any order.
    """
    return _members(np.ascontiguousarray(allowed), removed, np.ascontiguousarray(items, np.int32))


@compiled_for(_BITS, INTS, INTS)
def _members(allowed: NDArray[np.bool_], removed: ItemIndexes, items: ItemIndexes) -> NDArray[np.bool_]:
    inside = np.zeros(len(items), np.bool_)
    for place in range(len(items)):
        item = np.uint32(items[place])
        if item >= len(allowed) or not allowed[item]:
            continue
        low, high = 0, len(removed)
        while low < high:
            middle = (low + high) // 2
            if removed[middle] < items[place]:
                low = middle + 1
            else:
                high = middle
        inside[place] = low == len(removed) or removed[low] != items[place]
    return inside
