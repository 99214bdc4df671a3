"""Folders in the temporary storage of a machine that go once nobody uses them, however their users ended.

Beside each folder is a file that its users lock, and the kernel lets go of with them. Whoever takes a folder removes
those that nobody has locked for a while; so what killed processes leave is bounded by what the last ones left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final

from common.logs import get_logger
from common.private_files import FILE_MODE, private_file, private_folder

__all__ = ["HeldFolder", "temporary_root"]

_LOCK: Final = ".lock"
_log = get_logger(__name__)


def temporary_root(kind: str) -> Path:
    """Return where folders of a kind are in the temporary storage of this machine, for this user.

    Everybody may write there. Where somebody has taken the name, which all can guess, it is a folder with a random one:
    that which an earlier process made, so that what was left in there is found, or a new one.

    Args:
        kind: Part of the name.

    Raises:
        OSError: No folder can be made.
    """
    root = Path(gettempdir()) / f"tailorbird-{kind}-{os.getuid()}"
    if _is_folder_of_user(root) or not os.path.lexists(root):
        return root
    made = (folder for folder in sorted(root.parent.glob(f"{root.name}.*")) if _is_folder_of_user(folder))
    if (replacement := next(made, None)) is None:
        replacement = Path(mkdtemp(prefix=f"{root.name}.", dir=root.parent))
        _log.warning("temporary_folder_taken", path=str(root), replacement=str(replacement))
    return replacement


def _is_folder_of_user(path: Path) -> bool:
    """Return whether a path is a folder of this user, and no link to one."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


class HeldFolder:
    """A folder that is held until `remove`, or the end of this process; several processes may hold the same one.

    Args:
        root: Where such folders are; made if there is none, for this user alone.
        name: Of the folder; made if there is none.
        idle_seconds: Folders that nobody holds are removed once they were taken so long ago.

    Raises:
        PermissionError: The root is no folder, a link, or somebody else's.
        OSError: The folder cannot be made.
    """

    def __init__(self, root: Path, name: str, *, idle_seconds: float) -> None:
        if os.path.lexists(root) and not _is_folder_of_user(root):
            raise PermissionError(errno.EPERM, "is a file, a link or another user's, remove it", str(root))
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
    for folder in root.iterdir():
        # Folders of early releases have none. With one they go as if somebody had taken them now.
        if folder.is_dir() and not _lock_of(folder).exists():
            private_file(_lock_of(folder))
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
