"""The wait of a coroutine for work of a thread, which goes on when the wait is over."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["completed"]

T = TypeVar("T")


async def completed(future: Future[T], *, seconds: float) -> T:
    """Return the result of a future that another thread completes.

    Unlike `asyncio.wrap_future` the future is not cancelled with the task that waits; and one wait costs a few
    microseconds, where there are thousands each second.

    Raises:
        TimeoutError: It was not completed in that time; it may be yet.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def notify(_: Future[Any]) -> None:
        try:
            loop.call_soon_threadsafe(_end, waiter)
        except RuntimeError:
            return  # the loop was closed in between: nobody waits there any more

    future.add_done_callback(notify)
    timer = loop.call_later(seconds, _end, waiter)
    try:
        await waiter
    finally:
        timer.cancel()
    return future.result(0)


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
