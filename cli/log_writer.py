"""Writes a log from a thread of its own, for a caller that must neither wait nor fail.

A disk can be full, a reader of a pipe gone, a terminal halted with Ctrl-S. What cannot be written is counted, and told
as soon as something can be; nothing is kept in a buffer that would stand in the way of what comes later.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final

__all__ = ["LogWriter"]

_MAX_LINES: Final = 20_000
_MAX_BYTES: Final = 16 * 1024 * 1024
#: Longest wait for a stream that was set not to block, before it is tried again.
_RETRY_SECONDS: Final = 1.0
#: How long an end waits for a stream that is slow.
_CLOSE_SECONDS: Final = 2.0


class LogWriter:
    """Writes to a stream, past the stream's own buffers where it is a file.

    Args:
        stream: Where to.
        loss: Returns the line that tells of this many lost lines, and why they were.
    """

    def __init__(self, stream: IO[str], *, loss: Callable[[int, str], bytes]) -> None:
        self._stream = stream
        self._loss = loss
        self._descriptor = _descriptor(stream)
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._idle = True
        self._closed = False
        self._lost = 0
        self._why = ""
        self._cut = False  # the last thing written is the beginning of a line
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that are lost and were not told of yet."""
        return self._lost

    def write(self, line: bytes) -> None:
        """Take a line, with its end; returns at once."""
        with self._changed:
            if self._closed or len(self._waiting) >= _MAX_LINES or self._waiting_bytes + len(line) > _MAX_BYTES:
                self._lost += 1
                self._why = self._why or "written too slowly"
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def flush(self, *, seconds: float = _CLOSE_SECONDS) -> bool:
        """Wait until everything that was taken is written or lost; False when it is not by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._waiting, seconds)

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Take nothing more, and wait for what was taken, unless that takes long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = not self._waiting
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                self._idle = False
                line = self._waiting.popleft()
                self._waiting_bytes -= len(line)
                lost, why = self._lost, self._why
            self._deliver(line, lost, why)

    def _deliver(self, line: bytes, lost: int, why: str) -> None:
        end = b"\n" if self._cut else b""
        told = self._loss(lost, why) if lost else b""
        try:
            self._write(end + told + line)
        except (OSError, ValueError) as error:  # ValueError: a closed stream
            with self._changed:
                self._lost += 1
                self._why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        else:
            with self._changed:
                self._lost -= lost
                self._why = self._why if self._lost else ""

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            self._stream.write(data.decode(getattr(self._stream, "encoding", None) or "utf-8", "replace"))
            self._stream.flush()
            return
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._descriptor, view)
            except BlockingIOError:
                # Something else that holds the stream, such as a program of the same pipeline, set it not to block.
                select.select([], [self._descriptor], [], _RETRY_SECONDS)
                continue
            view = view[written:]
            self._cut = data[len(data) - len(view) - 1 : len(data) - len(view)] != b"\n"


def _descriptor(stream: IO[str]) -> int | None:
    with suppress(OSError, ValueError):  # what lives in memory has none
        stream.flush()
        return stream.fileno()
    return None
