"""Which items may be returned, as exploration asks it: of given ones, and of all new ones."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import ItemIndexes

__all__ = ["AllowedItems"]


class AllowedItems(Protocol):
    """Items that may be returned."""

    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Return which of some items, int32 [k], may be returned: bool [k]."""

    def among(self, items: ItemIndexes) -> ItemIndexes:
        """Return those of many items, int32 ascending, that may be returned; cheap if the same array is asked about."""
