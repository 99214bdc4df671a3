"""Folders in the temporary storage of a machine that go once nobody uses them, however their users ended.

Beside each folder is a file that its users lock, and the kernel lets go of with them. Whoever takes a folder removes
those that nobody has locked for a while; so what killed processes leave is bounded by what the last ones left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Final

from common.private_files import FILE_MODE, private_folder

__all__ = ["HeldFolder"]

_LOCK: Final = ".lock"


class HeldFolder:
    """A folder that is held until `remove`, or the end of this process; several processes may hold the same one.

    Args:
        root: Where such folders are; made if there is none, for this user alone.
        name: Of the folder; made if there is none.
        idle_seconds: Folders that nobody holds are removed once they were taken so long ago.

    Raises:
        PermissionError: The root is a link, or somebody else's.
        OSError: The folder cannot be made.
    """

    def __init__(self, root: Path, name: str, *, idle_seconds: float) -> None:
        if root.is_symlink() or (root.exists() and root.stat().st_uid != os.getuid()):
            raise PermissionError(errno.EPERM, "is a link or another user's, remove it", str(root))
        private_folder(root)
        _remove_idle(root, idle_seconds)
        #: The folder.
        self.path = root / name
        self._descriptor = _hold(_lock_of(self.path))
        private_folder(self.path)

    def remove(self) -> None:
        """Remove the folder, and let go of it; for one that nobody else holds."""
        shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():  # whoever comes next looks for what is left by its lock
            _lock_of(self.path).unlink(missing_ok=True)
        os.close(self._descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")


def _hold(path: Path) -> int:
    """Lock a file beside other holders, and note the time; return its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(descriptor, path):
                os.utime(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed before it was locked


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_idle(root: Path, idle_seconds: float) -> None:
    for lock in root.glob(f"*{_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            continue  # another process was faster
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(descriptor).st_mtime >= idle_seconds and _is_at(descriptor, lock):
                folder = lock.with_name(lock.name.removesuffix(_LOCK))
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    lock.unlink()
        except BlockingIOError:
            pass  # somebody holds it
        finally:
            os.close(descriptor)
