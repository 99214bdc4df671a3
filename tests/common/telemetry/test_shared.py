"""Figures of several processes in shared memory: what is counted, shown and kept when a process ends."""

from __future__ import annotations

import math
import os
import threading
import warnings

import pytest
from structlog.testing import capture_logs

from common.telemetry import Figure, Kind
from common.telemetry.shared import Block, SharedFigures
from tests.common.telemetry.shown import shown as samples

CALLS = Figure(Kind.COUNTER, "calls_total", "Calls.", ("code",))
SIZE = Figure(Kind.GAUGE, "size", "Size.")
LOADED = Figure(Kind.GAUGE, "loaded", "Loaded.", by_worker=True)
TIMES = Figure(Kind.HISTOGRAM, "times", "Times.", bounds=(0.1, 1.0))
ALL = (CALLS, SIZE, LOADED, TIMES)


def shown(*blocks):
    return samples(blocks, ALL)


def in_a_child(work):
    """Run `work` in a process that is forked for it, and that ends as a killed one does."""
    # What other tests of this process have loaded warns of forks; the child uses nothing of it.
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_counters_of_processes_are_added_up():
    blocks = Block("worker-0"), Block("worker-1")
    for block, amount in zip(blocks, (2.0, 3.0), strict=True):
        SharedFigures(block).counter(CALLS, "OK").add(amount)
    SharedFigures(blocks[1]).counter(CALLS, "INTERNAL").add()

    assert shown(*blocks) == {("calls_total", "OK"): 5.0, ("calls_total", "INTERNAL"): 1.0}


def test_a_histogram_counts_values_in_the_bucket_whose_bound_they_do_not_exceed():
    block = Block()
    times = SharedFigures(block).histogram(TIMES)
    for seconds in (0.05, 0.1, 0.5, 7.0):
        times.observe(seconds)

    assert shown(block) == {
        ("times_bucket", "0.1"): 2.0,
        ("times_bucket", "1.0"): 3.0,
        ("times_bucket", "+Inf"): 4.0,
        ("times_count",): 4.0,
        ("times_sum",): pytest.approx(7.65),
    }


def test_what_a_process_counted_stays_when_it_ends_and_its_successor_goes_on():
    block = Block("worker-0")

    def count():
        figures = SharedFigures(block)
        figures.counter(CALLS, "OK").add()
        figures.histogram(TIMES).observe(0.5)

    for _ in range(3):
        in_a_child(count)

    assert shown(block)["calls_total", "OK"] == 3.0
    assert shown(block)["times_count",] == 3.0


def test_gauges_of_a_process_that_ended_are_gone_until_its_successor_sets_them():
    block = Block("worker-0")
    in_a_child(lambda: SharedFigures(block).gauge(SIZE).set(7.0))
    assert shown(block) == {("size",): 7.0}

    successor = SharedFigures(block)
    assert shown(block) == {}
    successor.gauge(SIZE).set(1.0)
    successor.gauge(SIZE).add(2.0)
    assert shown(block) == {("size",): 3.0}


def test_a_gauge_is_not_shown_before_it_is_set():
    block = Block("worker-0")
    gauge = SharedFigures(block).gauge(SIZE)
    assert shown(block) == {}

    gauge.set(0.0)
    assert shown(block) == {("size",): 0.0}


def test_gauges_are_gone_from_the_moment_in_which_the_parent_knows_of_the_end():
    blocks = Block("worker-0"), Block("worker-1")
    for number, block in enumerate(blocks):
        block.note(100 + number)
        figures = SharedFigures(block)
        figures.gauge(LOADED).set(number)
        figures.counter(CALLS, "OK").add()
    blocks[0].note(None)

    assert shown(*blocks) == {("calls_total", "OK"): 2.0, ("loaded", "worker-1"): 1.0}
    assert [(block.pid, block.ends) for block in blocks] == [(None, 1), (101, 0)]


def test_a_gauge_of_a_successor_that_is_first_added_to_counts_from_zero():
    block = Block("worker-0")
    in_a_child(lambda: SharedFigures(block).gauge(SIZE).set(7.0))
    SharedFigures(block).gauge(SIZE).add(2.0)

    assert shown(block) == {("size",): 2.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_values_that_would_spoil_a_figure_are_not_taken_and_logged_once(value):
    block = Block()
    figures = SharedFigures(block)
    counter, gauge, times = figures.counter(CALLS, "OK"), figures.gauge(SIZE), figures.histogram(TIMES)
    counter.add(), gauge.set(3.0), times.observe(0.5)
    before = shown(block)
    with capture_logs() as lines_logged:
        for _ in range(2):
            counter.add(value), times.observe(value)
            if not math.isfinite(value):
                gauge.add(value), gauge.set(value)

    assert shown(block) == before
    spoilt = ["calls_total", "times"] if math.isfinite(value) else ["calls_total", "times", "size"]
    assert [line["figure"] for line in lines_logged if line["event"] == "figure_refused"] == spoilt


def test_gauges_of_each_worker_are_told_apart():
    blocks = Block("worker-0"), Block("worker-1")
    for number, block in enumerate(blocks):
        SharedFigures(block).gauge(LOADED).set(number)

    assert shown(*blocks) == {("loaded", "worker-0"): 0.0, ("loaded", "worker-1"): 1.0}


def test_no_count_is_lost_between_threads():
    block = Block()
    counter = SharedFigures(block).counter(CALLS, "OK")
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shown(block)["calls_total", "OK"] == 80_000


def test_a_block_without_room_shows_what_it_has_and_says_so_once():
    block = Block()
    figures = SharedFigures(block)
    with capture_logs() as lines_logged:
        for number in range(3000):
            figures.counter(CALLS, f"{number:0100}").add()

    values = shown(block)
    assert 1000 < len(values) < 3000
    assert set(values.values()) == {1.0}
    assert [line["event"] for line in lines_logged] == ["figures_full"]
