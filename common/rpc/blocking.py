"""The bridge between the event loop and blocking code: servicer methods that are plain functions run in threads.

The threads are the loop's default executor, whose size the server sets, so that `asyncio.to_thread` in an asynchronous
method uses the same bounded pool. A call that waits for a thread and whose caller leaves is never begun.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from common.rpc.channels import deadline_seconds

__all__ = ["BlockingContext", "asynchronous"]


class BlockingContext:
    """The part of `grpc.ServicerContext` that is safe in a thread.

    Args:
        context: The call's.
        ends: When the call is over if the caller sent no deadline, on `time.monotonic`.
    """

    __slots__ = ("_context", "_ends")

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], *, ends: float) -> None:
        self._context = context
        self._ends = ends

    def invocation_metadata(self) -> Any:
        """Return the metadata of the call, as pairs."""
        return self._context.invocation_metadata()

    def time_remaining(self) -> float:
        """Return how many seconds the call may still take, also without a deadline of the caller."""
        remaining: float | None = self._context.time_remaining()  # the stubs leave the None out
        return max(self._ends - time.monotonic(), 0.0) if remaining is None else remaining


def asynchronous(method: str, behaviour: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return a servicer's method as a coroutine function; a plain function runs in a thread.

    Args:
        method: Full name as on the wire.
        behaviour: Takes a request and a context, returns the response.
    """
    if inspect.iscoroutinefunction(behaviour):
        return behaviour
    seconds = deadline_seconds(method)

    async def in_thread(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        return await asyncio.to_thread(behaviour, request, BlockingContext(context, ends=time.monotonic() + seconds))

    return in_thread
