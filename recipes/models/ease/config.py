"""Hyperparameters of Similar-Items."""

from __future__ import annotations

from typing import Final

from recipes.config import RecipeConfig, hyperparameter
from recipes.data.size import DataSize
from recipes.hyper_parameters import EASE

__all__ = ["CANDIDATES", "MAX_DENSE_ITEMS", "ROW_LIMIT", "EASEConfig"]

#: Catalogues up to this size are solved exactly.
MAX_DENSE_ITEMS: Final = 6000
#: Entries kept of each row of a Gram matrix that is too large to be solved at once.
ROW_LIMIT: Final = 1000
#: Candidates for each hidden dimension.
CANDIDATES: Final = 2

_MIB: Final = 1024**2
#: Measured at the peak: blocks of the Gram matrix while they are summed; its entries; cells of a matrix of all items
#: with its inverse, its places and their weights, which come when the blocks are gone; candidates with their weights.
_BLOCKS: Final = 150 * _MIB
_PER_PAIR: Final = 24
_PER_CELL: Final = 36
_PER_CANDIDATE: Final = 24


class EASEConfig(RecipeConfig):
    """How much popularity is divided out, and how wide the model is; see `recipes.hyper_parameters.EASE`."""

    popularity_discount_factor: float = hyperparameter(EASE["popularity_discount_factor"])
    item_id_hidden_dim: int = hyperparameter(EASE["item_id_hidden_dim"])
    item_metadata_hidden_dim: int = hyperparameter(EASE["item_metadata_hidden_dim"])

    def fit_bytes(self, size: DataSize) -> int:
        """Return about how much memory a fit takes at its peak, beside the data, without what columns add.

        bytes = 24 pairs + 36 items^2 up to 6,000 items, at least 150 MiB; beyond 150 MiB + 24 pairs + 48 items
        `item_id_hidden_dim` (24 pairs where that is less), with 1,000 pairs of an item at most. Pairs are those that
        the same users have used.
        """
        if size.items <= MAX_DENSE_ITEMS:
            return _PER_PAIR * size.pairs() + max(_BLOCKS, _PER_CELL * size.items**2)
        pairs = size.pairs(row_limit=ROW_LIMIT)
        # An item is a candidate of those that it has been used with, and of no more.
        candidates = min(CANDIDATES * self.item_id_hidden_dim * size.items, pairs)
        return _BLOCKS + _PER_PAIR * pairs + _PER_CANDIDATE * candidates
