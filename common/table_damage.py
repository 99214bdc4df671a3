"""What is wrong with a file of a table, when the table cannot be read."""

from __future__ import annotations

import io
import json

import polars as pl

from common.errors import ResourceNotFound
from common.storage import Store

__all__ = ["damage_of"]


def damage_of(store: Store, path: str) -> str | None:
    """Return what is wrong with a file of a table; None when it can be read.

    Args:
        store: Has the table.
        path: The file, relative to the store's root.

    Raises:
        Unavailable: The store cannot be reached.
    """
    try:
        content = store.get(path)
    except ResourceNotFound:
        return "is gone"
    try:
        if path.endswith((".json", "_last_checkpoint")):
            for line in content.splitlines():
                json.loads(line)
        else:
            pl.read_parquet(io.BytesIO(content))
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the parser raises, the file is damaged
        return f"is damaged ({str(error).split(chr(10), 1)[0][:200]})"
    return None
