"""Counts what a training would learn from, in one pass over the tables and in memory that does not depend on them.

Users and items are told apart by hashes, of which the smallest are kept: where k are kept and the largest of them is at
the share s of all possible hashes, there are about (k - 1) / s ids (Bar-Yossef et al., "Counting distinct elements in a
data stream", RANDOM 2002), with a standard error of 1 / sqrt(k). Up to k ids the count is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.storage import Store
from common.tables import Table
from recipes.data.size import DataSize
from trainer.training.spec import TableVersion

__all__ = ["DistinctCount", "count_data"]

#: Hashes that are kept: a standard error of one in a hundred.
_KEPT: Final = 10_000
_HASHES: Final = 2.0**64


class DistinctCount:
    """Estimates how many different ids there are.

    Args:
        kept: Smallest hashes that are kept.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, ids: pl.Series) -> None:
        """Count ids; null is none."""
        hashes = ids.drop_nulls().hash(seed=0).to_numpy()
        if len(self._hashes) == self._kept:
            hashes = hashes[hashes < self._hashes[-1]]
        self._hashes = np.unique(np.concatenate([self._hashes, hashes]))[: self._kept]

    def estimate(self) -> int:
        """Return about how many there are."""
        if len(self._hashes) < self._kept:
            return len(self._hashes)
        return round((self._kept - 1) * _HASHES / float(self._hashes[-1]))


def count_data(
    store: Store, tables: tuple[TableVersion, ...], *, event_type: str | None, check: Callable[[], object]
) -> DataSize:
    """Count the interactions, with their users and items, and the items of the Items dataset.

    Args:
        store: The shared store.
        tables: The versions to be read.
        event_type: The only type of interactions that counts, in any case; None for all.
        check: Called between batches; may raise.

    Raises:
        ResourceNotFound: A table has been deleted meanwhile.
        CorruptArtifact: A file is damaged.
        Unavailable: The store cannot be reached.
    """
    users, items, interactions, left_out = DistinctCount(), DistinctCount(), 0, 0
    names = [columns.USER_ID, columns.ITEM_ID, *([] if event_type is None else [columns.EVENT_TYPE])]
    for table in tables:
        if table.dataset_type not in ("INTERACTIONS", "ITEMS"):
            continue
        chosen = names if table.dataset_type == "INTERACTIONS" else [columns.ITEM_ID]
        for batch in Table(store, table.location).batches(chosen, version=table.version):
            check()
            rows = batch
            if event_type is not None and columns.EVENT_TYPE in rows.columns:
                rows = rows.filter(pl.col(columns.EVENT_TYPE).str.to_lowercase() == event_type.lower())
            items.add(rows[columns.ITEM_ID])
            if table.dataset_type == "INTERACTIONS":
                users.add(rows[columns.USER_ID])
                interactions += len(rows)
                left_out += len(batch) - len(rows)
    return DataSize(users.estimate(), items.estimate(), interactions, left_out)
