"""Wakes coroutines from any thread: what long polls wait by, so that a wait costs no thread."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["ChangeNotifier"]


class ChangeNotifier:
    """Rung by whatever changes something, in any thread; waited for by coroutines of any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def rings(self) -> int:
        """How often it has rung; pass it to `wait` to miss no ring in between."""
        return self._rings

    def ring(self) -> None:
        """Wake all."""
        with self._lock:
            self._rings += 1
            woken, self._waiting = self._waiting, set()
        for future in woken:
            try:
                future.get_loop().call_soon_threadsafe(_wake, future)
            except RuntimeError:
                continue  # its loop was closed in between: nobody waits there any more

    async def wait(self, rings: int, *, seconds: float) -> None:
        """Return when it has rung more than `rings` times, or the time is over."""
        if seconds <= 0:
            return
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._rings > rings:
                return
            self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            with self._lock:
                self._waiting.discard(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
