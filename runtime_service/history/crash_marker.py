"""Whether files that are not synced as they are written can be trusted: only while the machine keeps running.

Syncing each batch of events would let a busy disk decide how soon an event shows its effect. Unsynced writes survive
the death of every process, as the kernel has them, but after a crash of the machine any page may be an old one. So a
mark beside the files says during which run of the machine they are written, or that they were synced and closed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import psutil

from common.private_files import private_file

__all__ = ["is_clean", "mark_closed", "mark_open"]

_MARK: Final = "written-during"
_CLOSED: Final = "closed"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def is_clean(folder: Path) -> bool:
    """Return whether the files of a folder are as they were last written; False where nothing is known of them."""
    mark = folder / _MARK
    return mark.is_file() and mark.read_text() in (_CLOSED, _this_run())


def mark_open(folder: Path) -> None:
    """Note, before the first write, that the files are trusted during this run of the machine only."""
    _write(folder, _this_run())


def mark_closed(folder: Path) -> None:
    """Note that the files were synced and nobody writes any more."""
    _write(folder, _CLOSED)


def _write(folder: Path, text: str) -> None:
    partial = private_file(folder / f"{_MARK}.part")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / _MARK)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new name must not be younger than what is written next
    finally:
        os.close(descriptor)


def _this_run() -> str:
    if _BOOT_ID.is_file():
        return _BOOT_ID.read_text().strip()
    return f"{psutil.boot_time():.0f}"
