"""Where snapshots of features lie in the store, also for those who neither write nor read them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

__all__ = ["features_folder", "features_location"]

_FOLDER: Final = "features"


def features_folder(table_location: str) -> str:
    """Return the folder of all snapshots of a table, relative to the store's root."""
    table = PurePosixPath(table_location)
    return str(table.parent / _FOLDER / table.name)


def features_location(table_location: str, version: int) -> str:
    """Return the folder of the snapshot of a version of a table; by name they are in the order of versions."""
    return f"{features_folder(table_location)}/{version:020}"
