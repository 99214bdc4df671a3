"""Ending a process with its parent, however the parent ends.

A parent that is killed can clean nothing up. Its child therefore waits for the end of a pipe whose other end only the
parent holds: the kernel closes it with the parent.
"""

from __future__ import annotations

import os
import threading

__all__ = ["Lifeline", "end_with_input"]

_FAILED = 1
_STANDARD_INPUT = 0


class Lifeline:
    """The pipe between a parent and all its children; made by the parent before the first fork."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def hold(self) -> None:
        """End this process, a child, as soon as the parent is gone or has closed the pipe."""
        os.close(self._write_end)
        _end_with(self._read_end)

    def close(self) -> None:
        """Give the pipe free, in the parent: children that still run end now."""
        os.close(self._write_end)
        os.close(self._read_end)


def end_with_input() -> None:
    """End this process as soon as its standard input ends, which its parent holds open and writes nothing to."""
    _end_with(_STANDARD_INPUT)


def _end_with(descriptor: int) -> None:
    def wait() -> None:
        while os.read(descriptor, 64):
            pass
        os._exit(_FAILED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
