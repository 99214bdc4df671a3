"""Lets one process own a folder; the lock goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from common.errors import ResourceInUse
from common.private_files import private_file

__all__ = ["FolderLock"]


class FolderLock:
    """Held from construction until `release`.

    Args:
        folder: An existing folder.

    Raises:
        ResourceInUse: Another process, or another part of this one, holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(private_file(folder / "lock"), os.O_RDWR)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise ResourceInUse(
                f"`data_dir`: got {folder}, whose event log process {holder or 'unknown'} holds, want a folder of its "
                "own for each process"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)
