"""Files and folders that only their owner can read, replaced atomically."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["FILE_MODE", "FOLDER_MODE", "private_file", "private_folder", "replace_private"]

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def private_folder(folder: Path) -> Path:
    """Create a folder, and its parents, or restrict an existing one to its owner; return it."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(exist_ok=True, mode=FOLDER_MODE)
    if folder.stat().st_mode & 0o777 != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)
    return folder


def private_file(path: Path) -> Path:
    """Create an empty file, or restrict an existing one to its owner; return its path.

    An existing file is not opened: closing it again would release the locks that SQLite has on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    except FileExistsError:
        if path.stat().st_mode & 0o777 != FILE_MODE:
            path.chmod(FILE_MODE)
    return path


def replace_private(path: Path, text: str) -> None:
    """Replace a file atomically; at no time can others than its owner read it.

    After the return the new content survives a power cut.

    Raises:
        OSError: It cannot be written; the old content is kept, unless only the sync of the folder failed.
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
