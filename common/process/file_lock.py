"""Locks between processes: a file that the kernel locks, and lets go of when its holder ends, however that ends.

Nothing here leaves a stale lock behind, so nobody ever has to guess whether a holder still lives. The file stays.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Self

from common.private_files import FILE_MODE, FOLDER_MODE, private_file

__all__ = ["FileLock", "LockTaken", "hold_lock", "hold_writer_lock", "read_holder"]

#: For writers: they hold a lock for the moment in which a small file is replaced.
_WAIT_SECONDS: Final = 30.0
#: Pauses between two attempts: a lock that is held for a moment costs a moment.
_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05


class LockTaken(Exception):
    """Somebody else holds the lock.

    Args:
        holder: What the holder says of itself; empty in the moment after it took the lock.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by {holder or 'another process'}")
        self.holder = holder


class FileLock:
    """A lock that is taken at once or not at all, and held until `close`; also a context.

    Args:
        path: The file, which is made if there is none; only its owner can read it.
        holder: What to say of this process to others, e.g. its process id.

    Raises:
        LockTaken: Another process, or another part of this one, holds it.
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path, *, holder: str) -> None:
        self._descriptor = os.open(private_file(path), os.O_RDWR)
        try:
            if not _lock_at_once(self._descriptor, fcntl.LOCK_EX):
                raise LockTaken(_read(self._descriptor))
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder.encode(), 0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        """Return itself: the lock is held from construction on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.close()

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


@contextmanager
def hold_lock(path: Path, *, seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Wait until nobody else holds a lock, and hold it until the block ends.

    Args:
        path: The file, which is made with its folder if there is none; only its owner can read it.
        seconds: How long to wait at most: a holder may be stopped, or wait for a disk that does not answer.

    Raises:
        TimeoutError: Somebody else held it for all that time.
        OSError: The file cannot be made; a TimeoutError is one, too.
    """
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        _lock_within(descriptor, path, seconds=seconds)
        yield
    finally:
        os.close(descriptor)


def hold_writer_lock(path: Path) -> AbstractContextManager[None]:
    """Hold off every other writer of a file that does the same; the lock is a file beside it. See `hold_lock`."""
    return hold_lock(path.with_name(f"{path.name}.lock"))


def read_holder(path: Path) -> str | None:
    """Return what the holder of a `FileLock` says of itself, None when nobody holds it.

    The text is empty in the moment after the lock was taken.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _lock_at_once(descriptor, fcntl.LOCK_SH) else _read(descriptor)
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, path: Path, *, seconds: float) -> None:
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while not _lock_at_once(descriptor, fcntl.LOCK_EX):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, f"{path} has been locked by another process for {seconds:g} s")
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _lock_at_once(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
