"""The folder of a log: who owns it, and who may read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from common.errors import ResourceInUse
from common.private_files import private_file
from common.process.file_lock import FileLock, LockTaken

__all__ = ["UNFINISHED_DATABASE", "lock_folder", "make_private", "sync_folders"]

#: A log that is being moved out of a stream, until it gets its own name.
UNFINISHED_DATABASE: Final = "events.unfinished.db"


def lock_folder(folder: Path) -> FileLock:
    """Own a folder until the lock is closed.

    Raises:
        ResourceInUse: Another process owns it.
    """
    try:
        return FileLock(folder / "lock", holder=str(os.getpid()))
    except LockTaken as error:
        raise ResourceInUse(
            f"`data_dir`: got {folder}, whose event log process {error.holder or 'unknown'} holds, want a folder of "
            "its own for each process"
        ) from error


def make_private(database: Path) -> None:
    """Make a database file and its side files their owner's only; a missing one is made."""
    private_file(database)
    # SQLite gives new side files the mode of the database.
    for side_file in database.parent.glob(f"{database.name}-*"):
        private_file(side_file)


def sync_folders(folder: Path) -> None:
    """Sync a folder and the one above: files survive a power cut only when the folders that name them are synced."""
    for directory in (folder, folder.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
