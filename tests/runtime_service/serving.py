"""Running the runtime's asynchronous parts beside a test: a loop in a thread, as a worker has one in a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import contextmanager
from typing import Any

import uvloop

_STOP_SECONDS = 20.0


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something to its end there, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    @contextmanager
    def running(self, work: Coroutine[Any, Any, None]):
        """Run something that has no end of its own, until the block ends; what it raises meanwhile is raised."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            yield
        finally:
            self.run(_cancel_others())
            if not future.cancelled() and (error := future.exception(_STOP_SECONDS)) is not None:
                raise error

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()


@contextmanager
def loop_in_thread():
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
