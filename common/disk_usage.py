"""What folders of this machine take on its disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DiskUsage", "disk_usage"]

_BLOCK_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What files take.

    Attributes:
        bytes: Of their blocks: a sparse file, as LMDB's are, takes less than it is long.
        files: How many they are.
    """

    bytes: int
    files: int


def disk_usage(path: Path) -> DiskUsage:
    """Return what a file, or all files below a folder, take; nothing where there is none.

    Files that go while they are counted are left out, and links are not followed.
    """
    sizes = list(_sizes(path))
    return DiskUsage(sum(sizes), len(sizes))


def _sizes(path: Path) -> Iterator[int]:
    with suppress(FileNotFoundError, NotADirectoryError):
        if not path.is_dir() or path.is_symlink():
            yield path.lstat().st_blocks * _BLOCK_BYTES
            return
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(Path(entry.path))
                else:
                    with suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
