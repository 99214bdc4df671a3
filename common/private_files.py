"""Files and folders that only their owner can read, replaced as a whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["FILE_MODE", "FOLDER_MODE", "private_file", "private_folder", "replace_private"]

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def private_folder(folder: Path) -> Path:
    """Make a folder, and those above it, or take others' rights to the one that is there; return it."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(exist_ok=True, mode=FOLDER_MODE)
    if folder.stat().st_mode & 0o777 != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)
    return folder


def private_file(path: Path) -> Path:
    """Make an empty file, or take others' rights to the one that is there; return its path.

    A file that is there is not opened: to close it again would give up the locks that SQLite has on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    except FileExistsError:
        if path.stat().st_mode & 0o777 != FILE_MODE:
            path.chmod(FILE_MODE)
    return path


def replace_private(path: Path, text: str) -> None:
    """Replace a file, which only its owner can read at any moment; readers see the old or the new one.

    After the return a power cut does not bring the old one back.

    Raises:
        OSError: It cannot be written; the old one is still there, unless it was the folder that could not be synced.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
