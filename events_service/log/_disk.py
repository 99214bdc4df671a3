"""What the log wants to know of its disk beyond SQLite: what is on it, whether it is full, that it could not sync."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.logs import get_logger

__all__ = ["end_if_unsynced", "has_frames", "is_full", "sync_and_drop_cache"]

_log = get_logger(__name__)
_UNSYNCED: Final = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PROBE_BYTES: Final = 64 * 1024
#: The layout of a write-ahead log, https://sqlite.org/fileformat2.html#walformat: the header with its two salts, then
#: frames, each of a header that repeats the salts and a page.
_HEADER_BYTES: Final = 32
_HEADER_SALTS: Final = 16
_FRAME_BYTES: Final = 24 + 4096
_FRAME_SALTS: Final = 8
_SALTS_BYTES: Final = 8


def end_if_unsynced(error: Exception) -> None:
    """End this process, without closing anything, if an error says that a file could not be synced.

    To close SQLite's connections would copy the write-ahead log, and delete it, as if it were whole.
    """
    if getattr(error, "sqlite_errorcode", 0) in _UNSYNCED:
        _log.critical("disk_sync_failed", message=f"{error}; the process ends, to begin again with what the disk has")
        os._exit(os.EX_IOERR)


def sync_and_drop_cache(path: Path) -> None:
    """Sync a file, and forget what is in memory of it, so that the next reading is of the disk.

    After a failed sync the system takes the pages that it could not write for written, and shows them until it needs
    their memory: whoever reads them would take for kept what no disk has.

    Raises:
        OSError: The file cannot be synced.
    """
    if not path.exists():
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def is_full(folder: Path, *, size_bytes: int) -> bool:
    """Return whether no file of a folder can grow beyond a size: by the disk, a quota, or a limit of the process.

    Tried with a file of its own, since SQLite calls most of these cases a failed write.
    """
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return error.errno in _NO_SPACE
    try:
        written = os.pwrite(descriptor, bytes(_PROBE_BYTES), size_bytes)
    except OSError as error:
        return error.errno in _NO_SPACE
    else:
        return written < _PROBE_BYTES
    finally:
        os.close(descriptor)
        with suppress(OSError):
            probe.unlink()


def has_frames(wal: Path, count: int) -> bool:
    """Return whether a write-ahead log has at least so many pages, written since it was begun again the last time."""
    try:
        descriptor = os.open(wal, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        salts = os.pread(descriptor, _SALTS_BYTES, _HEADER_SALTS)
        frame = os.pread(descriptor, _SALTS_BYTES, _HEADER_BYTES + (count - 1) * _FRAME_BYTES + _FRAME_SALTS)
    finally:
        os.close(descriptor)
    return len(frame) == _SALTS_BYTES and frame == salts
