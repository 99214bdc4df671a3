"""A table of items for compiled functions: where each of a few items of a large catalogue is, by open addressing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from recipes.data.histories import ItemIndexes

__all__ = ["item_table", "look_up", "place_in"]

#: Spreads items over the table: a large odd number.
_SPREAD = 2_654_435_761

Table = NDArray[np.int32]


@compiled
def item_table(most: int) -> Table:
    """Make an empty table for `most` items: 1 + the place of an item in a list of items, 0 where there is none."""
    size = 64
    while size < 2 * most:
        size *= 2
    return np.zeros(size, np.int32)


@compiled
def look_up(table: Table, listed: ItemIndexes, item: int) -> int:
    """Return the place of an item in the list, -1 if it is not there."""
    mask = len(table) - 1
    at = (item * _SPREAD) & mask
    while table[at] != 0:
        place: int = table[at] - 1
        if listed[place] == item:
            return place
        at = (at + 1) & mask
    return -1


@compiled
def place_in(table: Table, listed: ItemIndexes, n_listed: int, item: int) -> int:
    """Return the place of an item in the list, where it is put behind the others if it is not there."""
    mask = len(table) - 1
    at = (item * _SPREAD) & mask
    while table[at] != 0:
        place: int = table[at] - 1
        if listed[place] == item:
            return place
        at = (at + 1) & mask
    listed[n_listed] = item
    table[at] = n_listed + 1
    return n_listed
