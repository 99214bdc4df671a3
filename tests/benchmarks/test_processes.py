"""Processes under measurement are ended in every case, and one that cannot be measured is told."""

import signal
import sys
import threading

import psutil
import pytest

from benchmarks.processes import repeat_calls, running_process
from common.errors import Unavailable
from tests.processes import descendants

#: Says that it is ready, and what ended it.
PROGRAM = """
import signal, sys
def stop(*_):
    print("stopped", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "program.log"


def says_ready(log):
    return lambda: "ready\n" in log.read_text()


@pytest.mark.parametrize(
    ("stop_signal", "written"), [(signal.SIGKILL, "ready\n"), (signal.SIGTERM, "ready\nstopped\n")]
)
def test_a_process_runs_once_it_is_ready_and_is_ended_as_told(log, stop_signal, written):
    command = [sys.executable, "-c", PROGRAM]
    with running_process(command, log=log, is_ready=says_ready(log), stop_signal=stop_signal) as process:
        assert log.read_text() == "ready\n"
    assert not psutil.pid_exists(process.pid)
    assert log.read_text() == written


def test_a_process_that_ends_before_it_is_ready_is_told_with_its_log(log):
    command = [sys.executable, "-c", "import sys; sys.exit('no sense')"]
    with (
        pytest.raises(Unavailable, match=r"program: got an end with status 1.*program\.log"),
        running_process(command, log=log, is_ready=lambda: False),
    ):
        pytest.fail("it is not ready")
    assert log.read_text() == "no sense\n"


def test_a_process_that_is_never_ready_is_told_and_ended(log):
    with (
        pytest.raises(Unavailable, match=r"no readiness in 0\.5 s"),
        running_process([sys.executable, "-c", PROGRAM], log=log, is_ready=lambda: False, start_seconds=0.5),
    ):
        pytest.fail("it is not ready")
    assert descendants("signal.pause") == []


def test_clients_call_side_by_side_and_all_calls_are_over_afterwards():
    both = threading.Barrier(2, timeout=60)
    begun, ended = [], []

    def call():
        is_first = threading.current_thread() not in begun
        begun.append(threading.current_thread())
        if is_first:
            both.wait()
        ended.append(threading.current_thread())

    repeat_calls(call, clients=2, seconds=0.5, pause_seconds=0.001)
    assert len(set(begun)) == 2
    assert len(begun) == len(ended)
    assert not any(thread.is_alive() for thread in begun)
