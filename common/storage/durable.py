"""Files of a local store that survive a power cut: synced before anybody is told that they are there.

A file is written and synced under a name of its own, which listings of the store leave out, then it gets its name, and
its folder is synced: no reader, before or after a power cut, sees half of it. A sync costs milliseconds, also that of a
folder which did not change, so folders above are synced by whoever makes one in them.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["remove_partial_files", "sync_files", "write_durably"]

#: The end of names that the store's client neither lists nor takes, for what is not written whole.
_PARTIAL: Final = re.compile(r"#\d+$")


def write_durably(target: Path, content: bytes | Path, *, if_absent: bool = False) -> None:
    """Write a file whole, and return when it is on the disk.

    Args:
        target: The file; folders that are missing are made.
        content: Bytes, or a file to copy.
        if_absent: Write only if there is no such file.

    Raises:
        FileExistsError: `if_absent`, and there is one.
        OSError: The disk is full, or failed.
    """
    above = next(folder for folder in target.parents if folder.exists())
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
    try:
        if isinstance(content, Path):
            shutil.copyfile(content, partial)
        else:
            partial.write_bytes(content)
        _sync(partial)
        if if_absent:
            target.hardlink_to(partial)
        else:
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folders({target.parent}, above)


def sync_files(paths: Iterable[Path], *, above: Path) -> None:
    """Sync files, and all folders from theirs up to one above, each once.

    Args:
        paths: Those that are gone by now are passed over.
        above: The last folder that is synced; all files are below it.

    Raises:
        OSError: The disk failed.
    """
    folders: set[Path] = set()
    for path in paths:
        try:
            _sync(path)
        except FileNotFoundError:
            continue
        folders.add(path.parent)
    _sync_folders(folders, above)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed writers have left below a folder."""
    for path in folder.rglob("*"):
        if _PARTIAL.search(path.name):
            path.unlink(missing_ok=True)


def _sync_folders(folders: set[Path], above: Path) -> None:
    """Sync folders and those that they are in up to one above, the deepest first."""
    all_folders = {parent for folder in folders for parent in (folder, *folder.parents) if parent.is_relative_to(above)}
    for folder in sorted(all_folders, key=lambda path: len(path.parts), reverse=True):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
