"""Folders for the files of running jobs: private, gone when the job is over, swept when their trainer was killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from common.private_files import private_folder

__all__ = ["Workspace"]


class Workspace:
    """Makes folders below one.

    Args:
        root: Made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a new folder that only this user can read, and remove it with all it holds."""
        with TemporaryDirectory(prefix=f"job-{os.getpid()}-", dir=private_folder(self._root)) as name:
            yield Path(name).resolve()

    def sweep(self) -> None:
        """Remove what killed trainers left; to be called before the first folder is made."""
        for folder in self._root.glob("job-*-*"):
            owner = folder.name.split("-")[1]
            if not owner.isdigit():
                continue  # none of ours
            # A container gives its process the same number each time.
            if owner == str(os.getpid()) or not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder)
