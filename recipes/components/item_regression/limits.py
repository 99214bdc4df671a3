"""How large a regression of items on items may become: which catalogues are solved and how, and the memory for it."""

from __future__ import annotations

from typing import Final

__all__ = ["KEPT", "MAX_EXACT", "MAX_ITEMS", "MAX_PRODUCTS", "ROW_LIMIT", "fit_bytes"]

#: Up to so many items, or users, are solved exactly, the latter up to so many items times interactions; and catalogues
#: up to this size at all.
MAX_EXACT: Final = 5000
MAX_PRODUCTS: Final = 20_000_000_000
MAX_ITEMS: Final = 50_000
#: Entries kept of each row of the Gram matrix of a catalogue that is not solved exactly.
ROW_LIMIT: Final = 1000
#: Largest weights kept of an item.
KEPT: Final = 128


def fit_bytes(*, n_users: int, n_items: int) -> int:
    """Return about how much memory a regression takes at its peak.

    That is a float64 for each pair of items that is looked at, or of users and a float32 besides, whichever is more.
    """
    if n_items > MAX_ITEMS:
        return 0
    of_items = 8 * n_items * (n_items if n_items <= MAX_EXACT else ROW_LIMIT)
    return max(of_items, 12 * n_users**2 if n_users <= min(n_items, MAX_EXACT) else 0)
