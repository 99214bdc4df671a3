"""How large a regression of items on items may become: which catalogues are solved and how, and the memory for it."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CANDIDATES", "KEPT", "MAX_EXACT", "MAX_ITEMS", "MAX_PRODUCTS", "PER_CELL", "ROWS_AT_ONCE", "ROW_LIMIT",
    "fit_bytes",
]  # fmt: skip

#: Up to so many items, or users, are solved exactly; the latter up to so many products of an interaction and an item,
#: of which each pair of items counts for twenty, as every row is looked through; and catalogues up to this size at
#: all.
MAX_EXACT: Final = 5000
MAX_PRODUCTS: Final = 20_000_000_000
PER_CELL: Final = 20
MAX_ITEMS: Final = 50_000
#: Entries kept of each row of the Gram matrix of a catalogue that is not solved exactly.
ROW_LIMIT: Final = 1000
#: Items that an item of such a catalogue is regressed on.
CANDIDATES: Final = 200
#: Largest weights kept of an item.
KEPT: Final = 128
#: Rows of a dense matrix that are looked through at once.
ROWS_AT_ONCE: Final = 128

#: Measured at the peak: bytes of a cell of the rows that are looked through; of a cell of the users' matrix, with its
#: sparse form and its inverse; of an entry of a Gram matrix and of a candidate with its weight; and of its blocks.
_PER_ROW_CELL: Final = 56
_PER_USER_CELL: Final = 28
_PER_ENTRY: Final = 24
_BLOCKS: Final = 150 * 1024**2


def fit_bytes(*, n_users: int, n_items: int) -> int:
    """Return about how much memory a regression takes at its peak.

    bytes = 8 items^2 up to 5,000 items, else 150 MiB + 28,800 items (which is what the most entries and candidates
    take), or 28 users^2 if that is more and there are no more than 5,000 users; and 7,168 items for the rows that are
    looked through.
    """
    if n_items > MAX_ITEMS:
        return 0
    sparse = _BLOCKS + _PER_ENTRY * n_items * (ROW_LIMIT + CANDIDATES)
    of_items = 8 * n_items**2 if n_items <= MAX_EXACT else sparse
    of_users = _PER_USER_CELL * n_users**2 if n_users <= min(n_items, MAX_EXACT) else 0
    return max(of_items, of_users) + _PER_ROW_CELL * ROWS_AT_ONCE * n_items
