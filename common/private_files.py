"""Files that only their owner can read, replaced as a whole, with writers that wait for each other."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["exclusively", "replace_private"]


def replace_private(path: Path, text: str) -> None:
    """Replace a file, which only its owner can read at any moment; readers see the old or the new one.

    Raises:
        OSError: It cannot be written; the old one is still there.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold off every other writer of a file that does the same, in this process and in others.

    Raises:
        OSError: The lock beside the file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
