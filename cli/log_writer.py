"""Writes a log from a separate thread, for callers that must neither wait nor fail.

A disk can be full, a pipe without a reader, a terminal halted by Ctrl-S. Lines that cannot be written are dropped and
counted, and a line with their number is written as soon as writing succeeds again.
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
#: Longest wait for a non-blocking stream to become writable, before it is tried again.
_RETRY_SECONDS: Final = 1.0
#: How long flush and close wait for a slow stream.
_CLOSE_SECONDS: Final = 2.0


class LogWriter:
    """Writes lines to a stream, without the stream's own buffer where it is a file.

    Args:
        stream: Where the lines go.
        render_loss: Returns the line that reports lost lines, from their number and the reason.
    """

    def __init__(self, stream: IO[str], *, render_loss: Callable[[int, str], bytes]) -> None:
        self._stream = stream
        self._render_loss = render_loss
        self._descriptor = _descriptor(stream)
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._idle = True
        self._closed = False
        self._lost = 0
        self._reason = ""
        self._line_unfinished = False  # the last thing written is the beginning of a line
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lost lines that are not reported yet."""
        return self._lost

    def write(self, line: bytes) -> None:
        """Queue a line, which ends with a line feed; return at once."""
        with self._changed:
            if self._closed or len(self._queue) >= _MAX_LINES or self._queue_bytes + len(line) > _MAX_BYTES:
                self._lost += 1
                self._reason = self._reason or "written too slowly"
                return
            self._queue.append(line)
            self._queue_bytes += len(line)
            self._changed.notify_all()

    def flush(self, *, seconds: float = _CLOSE_SECONDS) -> bool:
        """Wait until all queued lines are written or lost; return whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._queue, seconds)

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Accept no more lines, and wait until those in the queue are written, unless that takes too long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = not self._queue
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                self._idle = False
                line = self._queue.popleft()
                self._queue_bytes -= len(line)
                lost, reason = self._lost, self._reason
            self._write_line(line, lost, reason)

    def _write_line(self, line: bytes, lost: int, reason: str) -> None:
        end = b"\n" if self._line_unfinished else b""
        loss_line = self._render_loss(lost, reason) if lost else b""
        try:
            self._write(end + loss_line + line)
        except (OSError, ValueError) as error:  # ValueError: a closed stream
            with self._changed:
                self._lost += 1
                self._reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        else:
            with self._changed:
                self._lost -= lost
                self._reason = self._reason if self._lost else ""

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
                # Another program that shares the stream, e.g. one of the same pipeline, made it non-blocking.
                select.select([], [self._descriptor], [], _RETRY_SECONDS)
                continue
            view = view[written:]
            self._line_unfinished = data[len(data) - len(view) - 1 : len(data) - len(view)] != b"\n"


def _descriptor(stream: IO[str]) -> int | None:
    with suppress(OSError, ValueError):  # a stream in memory has none
        stream.flush()
        return stream.fileno()
    return None
