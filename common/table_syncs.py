"""Commits of tables in a local store that survive a power cut: Delta Lake itself syncs nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from common.errors import CorruptArtifact
from common.storage import Store
from common.storage.durable import sync_files
from common.storage.failures import unwritable
from common.table_damage import damage_of

__all__ = ["sync_newest", "sync_table_files", "synced_commits"]

_LOG: Final = "_delta_log"
_LAST_CHECKPOINT: Final = f"{_LOG}/_last_checkpoint"
_NONE: Final = -1
#: More than one process leaves that dies, and than others have committed until it is found.
_NEWEST: Final = 100
#: Larger files are of imports, which sync them before they commit.
_MOST_BYTES: Final = 64 * 1024 * 1024


def sync_table_files(store: Store, location: str, names: Iterable[str], *, is_new: bool = False) -> None:
    """Sync files of a table in a local store, and the folders that they are in.

    Args:
        store: Has the table.
        location: Folder of the table, relative to the store's root.
        names: Relative to that; those that are gone by now are passed over.
        is_new: Whether the folders that the table's is in may be new, too.

    Raises:
        Unavailable: The disk failed.
    """
    folder, root = store.local_folder(location), store.root
    if folder is None or root is None:
        return
    try:
        sync_files([folder / name for name in names], above=root if is_new else folder)
    except OSError as error:
        raise unwritable(f"dataset {location}: cannot be synced", error) from error


@contextmanager
def synced_commits(store: Store, location: str) -> Iterator[None]:
    """Sync, at the end of the block, all commits to a table that were made since it began; of a local store only.

    A power cut in the moments between a commit and the end of this may leave it without its data.

    Args:
        store: Has the table.
        location: Folder of the table, relative to the store's root.

    Raises:
        Unavailable: The disk failed; what was committed may not survive a power cut.
    """
    folder = store.local_folder(location)
    before = _NONE if folder is None else _newest(folder)
    yield
    if folder is not None:
        _sync_after(before, folder, store, location)


def sync_newest(store: Store, location: str) -> None:
    """Sync the newest commits to a table whose writer has not, and read back what is on the disk.

    That writer may have died, or its sync may have failed: then the system may have dropped what it could not write,
    and lets the next sync succeed without it.

    Raises:
        CorruptArtifact: The disk does not have it.
        Unavailable: The disk failed.
    """
    folder = store.local_folder(location)
    if folder is None:
        return
    _sync_after(max(_newest(folder) - _NEWEST, _NONE), folder, store, location)
    for name in _files_after(max(_newest(folder) - _NEWEST, _NONE), folder):
        # What is gone by now was removed by a later commit.
        if _is_read_back(folder / name) and (damage := damage_of(store, f"{location}/{name}")) is not None:
            raise CorruptArtifact(f"dataset {location}: the file {name} {damage}; it was never on the disk as a whole")


def _sync_after(before: int, folder: Path, store: Store, location: str) -> None:
    if names := _files_after(before, folder):
        sync_table_files(store, location, names, is_new=before == _NONE)


def _files_after(before: int, folder: Path) -> list[str]:
    """Return the files of the commits after one, relative to the table's folder: data, commits, and checkpoints."""
    numbers = {f"{number:020}" for number in range(before + 1, _newest(folder) + 1)}
    if not numbers:
        return []
    # Checkpoints have names that begin in the same way.
    of_log = [path for path in (folder / _LOG).iterdir() if path.name[:20] in numbers]
    data = [name for path in of_log if path.suffix == ".json" for name in _data_files(path)]
    if any(path.suffix == ".parquet" for path in of_log):
        of_log.append(folder / _LAST_CHECKPOINT)
    return [*data, *(f"{_LOG}/{path.name}" for path in of_log)]


def _is_read_back(path: Path) -> bool:
    """Forget what is in memory of a file, and return whether it is there, and no larger than flushes write."""
    try:
        with path.open("rb") as file:
            if hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return os.fstat(file.fileno()).st_size <= _MOST_BYTES
    except FileNotFoundError:
        return False


def _newest(folder: Path) -> int:
    """Return the number of the newest commit; -1 for none."""
    try:
        names = [path.name for path in (folder / _LOG).iterdir()]
    except FileNotFoundError:
        return _NONE
    return max((int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdecimal()), default=_NONE)


def _data_files(commit: Path) -> Iterator[str]:
    """Yield the files that a commit adds, relative to the table's folder; none for one that is gone by now.

    A deletion of rows removes all commits before its own, which has what they added.
    """
    try:
        text = commit.read_text()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        added = json.loads(line).get("add")
        if added is not None:
            yield unquote(added["path"])
