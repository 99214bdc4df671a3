"""A coroutine waits for a future of a thread, and leaves it alone when it waits no longer."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from common.process.completion import completed


def test_result_of_another_thread_arrives():
    async def run():
        future: Future[int] = Future()
        threading.Thread(target=future.set_result, args=[7]).start()
        return await completed(future, seconds=60)

    assert asyncio.run(run()) == 7


def test_result_that_is_there_already_arrives():
    async def run():
        future: Future[int] = Future()
        future.set_result(7)
        return await completed(future, seconds=60)

    assert asyncio.run(run()) == 7


def test_error_of_another_thread_is_raised():
    async def run():
        future: Future[int] = Future()
        threading.Thread(target=future.set_exception, args=[ValueError("no")]).start()
        await completed(future, seconds=60)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(run())


def test_future_goes_on_when_the_time_is_over():
    async def run(future):
        await completed(future, seconds=0.001)

    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        asyncio.run(run(future))
    assert not future.cancelled()
    future.set_result(1)  # its loop is closed, which harms nothing


def test_future_goes_on_when_the_task_that_waits_is_cancelled():
    async def run(future):
        task = asyncio.create_task(completed(future, seconds=60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        future.set_result(1)
        await asyncio.sleep(0)
        return task.cancelled()

    future: Future[int] = Future()
    assert asyncio.run(run(future))
    assert future.result(0) == 1
