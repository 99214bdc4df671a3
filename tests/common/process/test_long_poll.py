"""Long polls: woken by changes, bounded in number, ended by the caller or the process, at no cost of threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from common.process.long_poll import ChangeNotifier, LongPolls


def nothing() -> None:
    return None


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def waiting_calls(polls, attempt, *, calls=1):
    """Give calls that wait, each a task of its own."""
    tasks = [asyncio.create_task(polls.until(attempt, seconds=30)) for _ in range(calls)]
    await until(lambda: polls.n_waiting == calls)
    yield tasks
    for task in tasks:
        task.cancel()


@pytest.fixture
def changed():
    return ChangeNotifier()


def test_result_that_is_there_is_returned_without_waiting(changed):
    assert asyncio.run(LongPolls(changed, max_waiting=1).until(lambda: 7, seconds=30)) == 7


def test_no_result_within_the_time_is_none(changed):
    assert asyncio.run(LongPolls(changed, max_waiting=1).until(nothing, seconds=0.01)) is None


def test_change_of_another_thread_wakes_who_waits(changed):
    results = []

    async def scenario():
        polls = LongPolls(changed, max_waiting=1, look_seconds=30)
        async with waiting_calls(polls, lambda: results[0] if results else None) as (call,):
            results.append(7)
            threading.Thread(target=changed.notify).start()
            return await asyncio.wait_for(call, 20)

    assert asyncio.run(scenario()) == 7


def test_change_by_another_process_is_noticed_without_a_notification(changed):
    looks = iter([None, None, 7])

    polls = LongPolls(changed, max_waiting=1, look_seconds=0.01)

    assert asyncio.run(polls.until(lambda: next(looks), seconds=30)) == 7


def test_one_call_too_many_is_answered_at_once(changed):
    async def scenario():
        polls = LongPolls(changed, max_waiting=1, look_seconds=30)
        async with waiting_calls(polls, nothing):
            return await polls.until(nothing, seconds=30)

    assert asyncio.run(scenario()) is None


def test_caller_who_leaves_gives_the_place_back_and_gets_nothing(changed):
    jobs = []

    async def scenario():
        polls = LongPolls(changed, max_waiting=1, look_seconds=30)
        async with waiting_calls(polls, lambda: jobs.pop() if jobs else None) as (call,):
            call.cancel()
            await until(lambda: polls.n_waiting == 0)
            jobs.append(7)
            changed.notify()
        return call.cancelled()

    assert (asyncio.run(scenario()), jobs) == (True, [7])


def test_many_who_wait_hold_no_thread(changed):
    async def scenario():
        polls = LongPolls(changed, max_waiting=500, look_seconds=30)
        before = threading.active_count()
        async with waiting_calls(polls, nothing, calls=500):
            # The executor's own threads, which all looks share, stay.
            return threading.active_count() - before

    assert asyncio.run(scenario()) <= 32


def test_closing_answers_all_who_wait(changed):
    async def scenario():
        polls = LongPolls(changed, max_waiting=3, look_seconds=30)
        async with waiting_calls(polls, nothing, calls=3) as calls:
            polls.close()
            return await asyncio.wait_for(asyncio.gather(*calls), 20)

    assert asyncio.run(scenario()) == [None, None, None]
