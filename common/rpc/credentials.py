"""A process's own bearer token, read from its file again whenever the file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.errors import Unauthenticated

__all__ = ["file_token"]


def file_token(path: Path | None) -> Callable[[], str]:
    """Return a function that returns the token in a file.

    Each call checks the file (one stat) and reads it when it was replaced, so that a new token needs no restart.

    Raises:
        Unauthenticated: No file was set, or it cannot be read; raised when the token is needed.
    """
    cached: tuple[int, str] = (-1, "")

    def current() -> str:
        nonlocal cached
        if path is None:
            raise Unauthenticated("`token_file`: got none, want a file that holds this process's bearer token")
        try:
            stamp = path.stat().st_mtime_ns
            if stamp != cached[0]:
                cached = (stamp, path.read_text().strip())
        except OSError as error:
            raise Unauthenticated(f"`token_file`: got {path}, which cannot be read: {error.strerror}") from error
        return cached[1]

    return current
