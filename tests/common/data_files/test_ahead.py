"""Work in threads that keeps the order of its parts."""

from __future__ import annotations

import threading

import pytest

from common.data_files.ahead import in_order


def test_results_come_in_the_order_of_the_parts_whichever_is_ready_first():
    second_is_done = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second_is_done.wait(20)
        if part == 1:
            second_is_done.set()
        return part * 10

    assert list(in_order(work, range(5))) == [0, 10, 20, 30, 40]


def test_no_more_parts_are_taken_than_a_few_ahead():
    taken = []

    def parts():
        for part in range(100):
            taken.append(part)
            yield part

    results = in_order(str, parts())
    assert next(results) == "0"
    assert len(taken) == 3
    results.close()
    assert len(taken) == 3


def test_a_part_that_cannot_be_taken_is_told_after_the_results_before_it():
    def parts():
        yield 1
        yield 2
        raise ValueError("no third")

    results = in_order(str, parts())
    assert [next(results), next(results)] == ["1", "2"]
    with pytest.raises(ValueError, match="no third"):
        next(results)


def test_work_that_fails_is_told_in_its_place():
    results = in_order(lambda part: 1 // part, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_thread_is_left_when_the_results_are_not_wanted_any_more():
    results = in_order(str, range(100))
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
