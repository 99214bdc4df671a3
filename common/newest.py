"""Which version of an item, a user or an action holds, where imports and puts have left several.

Everything that reads a dataset decides by this one rule: training, exports, and snapshots of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from common import columns

__all__ = ["newest"]


def newest(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Keep the newest version of each id: that with the largest offset in the log of events.

    An imported row has an offset that no put row of the table exceeded when it was written, so that it comes after
    those and before later ones; at equal offsets it holds. Where it has none, every put row comes after it.

    Args:
        rows: Of the table, with its internal columns.
        keys: Columns that hold the id.

    Returns:
        One row for each id, in the order of the newest versions.
    """
    # A table that nothing was ever put into need not have offsets.
    offsets = [pl.col(columns.LOG_OFFSET).fill_null(0)] if columns.LOG_OFFSET in rows.columns else []
    by_age = rows.sort(*offsets, pl.col(columns.SOURCE) == columns.SOURCE_BULK, maintain_order=True)
    return by_age.unique(keys, keep="last", maintain_order=True)
