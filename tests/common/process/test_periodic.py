"""Work that is repeated in a thread."""

import threading

from common.errors import Unavailable
from common.logs import request_id
from common.process.periodic import PeriodicThread
from common.testing import wait_until


def test_rounds_follow_one_another_until_it_is_stopped():
    rounds = []
    thread = PeriodicThread(lambda: rounds.append(threading.current_thread().name), name="sweeper", every_seconds=0.001)

    thread.start()
    wait_until(lambda: len(rounds) >= 3)
    thread.stop()
    after = len(rounds)

    assert set(rounds) == {"sweeper"}
    assert thread.stopping
    assert "sweeper" not in {one.name for one in threading.enumerate()}
    assert len(rounds) == after


def test_a_stop_waits_for_the_round_that_runs_and_that_round_can_see_it():
    entered, seen = threading.Event(), []

    def work():
        entered.set()
        wait_until(lambda: thread.stopping)
        seen.append("ended by itself")

    thread = PeriodicThread(work, name="sweeper", every_seconds=0.001)
    thread.start()
    entered.wait(20)
    thread.stop()

    assert seen == ["ended by itself"]


def test_failures_in_a_row_are_told_once_and_end_nothing(log_lines):
    outcomes = iter([Unavailable("away"), Unavailable("away"), None, KeyError("defect")])
    done = threading.Event()

    def work():
        outcome = next(outcomes, "over")
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "over":
            done.set()

    thread = PeriodicThread(work, name="sweeper", every_seconds=0.001, failure_event="sweep_failed")
    thread.start()
    assert done.wait(20)
    thread.stop()

    away, defect = [line for line in log_lines() if line["event"] == "sweep_failed"]
    assert (away["message"], "exception" in away) == ("away", False)
    assert "KeyError" in defect["exception"]


def test_a_defect_is_logged_among_failures_of_another_kind_and_panics_end_nothing(log_lines):
    class Panic(BaseException):
        """What extensions in Rust raise."""

    outcomes = iter([Unavailable("away"), KeyError("defect"), Panic("panicked"), Unavailable("away"), Panic("again")])
    done = threading.Event()

    def work():
        outcome = next(outcomes, None)
        if outcome is None:
            done.set()
            return
        raise outcome

    thread = PeriodicThread(work, name="sweeper", every_seconds=0.001, failure_event="sweep_failed")
    thread.start()
    assert done.wait(20)
    thread.stop()

    failures = [line for line in log_lines() if line["event"] == "sweep_failed"]
    assert [line["message"] for line in failures] == ["away", "'defect'", "panicked"]
    assert ["exception" in line for line in failures] == [False, True, True]


def test_log_lines_carry_the_request_of_whoever_started_it():
    seen = []
    token = request_id.set("request-7")
    try:
        thread = PeriodicThread(lambda: seen.append(request_id.get()), name="sweeper", every_seconds=0.001)
        thread.start()
    finally:
        request_id.reset(token)
    wait_until(lambda: seen)
    thread.stop()

    assert set(seen) == {"request-7"}


def test_one_that_was_never_started_can_be_stopped():
    PeriodicThread(lambda: None, name="sweeper", every_seconds=1.0).stop()


def test_the_first_round_can_come_at_once():
    done = threading.Event()
    thread = PeriodicThread(done.set, name="sweeper", every_seconds=3600.0, first_at_once=True)
    thread.start()
    assert done.wait(20)
    thread.stop()
