"""Detects a crash of the machine while files were written without syncing them.

Syncing each batch of events would make a busy disk delay the effect of an event. Unsynced writes survive the death of
any process, since the kernel has them, but after a crash of the machine any page may be an old one. So a marker file
says during which boot of the machine the files are written, or that they were synced and closed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import psutil

from common.private_files import private_file

__all__ = ["is_clean", "mark_closed", "mark_open"]

_MARKER: Final = "written-during"
_CLOSED: Final = "closed"
_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


def is_clean(folder: Path) -> bool:
    """Return whether the files of a folder are as they were last written; False without a marker."""
    marker = folder / _MARKER
    return marker.is_file() and marker.read_text() in (_CLOSED, _boot_id())


def mark_open(folder: Path) -> None:
    """Record, before the first write, that the files are valid during this boot of the machine only."""
    _write(folder, _boot_id())


def mark_closed(folder: Path) -> None:
    """Record that the files were synced and are not written any more."""
    _write(folder, _CLOSED)


def _write(folder: Path, text: str) -> None:
    partial = private_file(folder / f"{_MARKER}.part")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / _MARKER)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the marker has to be on disk before what is written next
    finally:
        os.close(descriptor)


def _boot_id() -> str:
    if _BOOT_ID_FILE.is_file():
        return _BOOT_ID_FILE.read_text().strip()
    return f"{psutil.boot_time():.0f}"
