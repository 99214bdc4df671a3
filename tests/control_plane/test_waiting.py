"""Long polls: woken by changes, bounded in number, ended by the caller or the process."""

from __future__ import annotations

import threading

import pytest

from common.testing import wait_until
from control_plane.waiting import Bell, LongPolls


def yes() -> bool:
    return True


class Waiting:
    """A call that waits in a thread of its own."""

    def __init__(self, polls, attempt, wanted=yes) -> None:
        self.result = []
        self.thread = threading.Thread(
            target=lambda: self.result.append(polls.until(attempt, seconds=30, wanted=wanted)), daemon=True
        )
        self.thread.start()

    def join(self):
        self.thread.join(timeout=20)
        return self.result


@pytest.fixture
def bell():
    return Bell()


def test_result_that_is_there_is_returned_without_waiting(bell):
    assert LongPolls(bell, max_waiting=1).until(lambda: 7, seconds=30, wanted=yes) == 7


def test_no_result_within_the_time_is_none(bell):
    assert LongPolls(bell, max_waiting=1).until(lambda: None, seconds=0.01, wanted=yes) is None


def test_ring_wakes_who_waits(bell):
    results = []
    waiting = Waiting(LongPolls(bell, max_waiting=1, look_seconds=30), lambda: results[0] if results else None)

    results.append(7)
    wait_until(lambda: bell.ring() or not waiting.thread.is_alive())

    assert waiting.join() == [7]


def test_change_by_another_process_is_noticed_without_a_ring(bell):
    looks = iter([None, None, 7])

    assert LongPolls(bell, max_waiting=1, look_seconds=0.01).until(lambda: next(looks), seconds=30, wanted=yes) == 7


def test_one_call_too_many_is_answered_at_once(bell):
    polls = LongPolls(bell, max_waiting=1, look_seconds=30)
    looked = threading.Event()
    waiting = Waiting(polls, looked.set)
    looked.wait(timeout=20)
    wait_until(lambda: polls._places._value == 0)

    assert polls.until(lambda: None, seconds=30, wanted=yes) is None

    polls.close()
    assert waiting.join() == [None]


def test_caller_who_is_gone_is_waited_for_no_longer(bell):
    polls = LongPolls(bell, max_waiting=1, look_seconds=0.01)
    there = [True]
    waiting = Waiting(polls, lambda: None, wanted=lambda: there[0])

    there[0] = False

    assert waiting.join() == [None]


def test_nothing_is_handed_to_a_caller_who_is_gone(bell):
    polls = LongPolls(bell, max_waiting=1, look_seconds=30)
    there, jobs = [True], []
    waiting = Waiting(polls, lambda: jobs.pop() if jobs else None, wanted=lambda: there[0])
    wait_until(lambda: polls._places._value == 0)

    there[0] = False
    jobs.append(7)
    bell.ring()

    assert (waiting.join(), jobs) == ([None], [7])


def test_closing_answers_all_who_wait(bell):
    polls = LongPolls(bell, max_waiting=3, look_seconds=30)
    waiting = [Waiting(polls, lambda: None) for _ in range(3)]
    wait_until(lambda: polls._places._value == 0)

    polls.close()

    assert [call.join() for call in waiting] == [[None]] * 3
