"""Parts in processes of this machine."""

import os
import signal
import subprocess
import sys

import pytest

from common.compute.local import LocalCompute
from common.testing import wait_until
from tests.common.compute import tasks
from tests.common.compute.suite import ComputeSuite, assert_each_once, assert_gone, killing_at_first, no_check

PARENT = """
import sys
from common.compute.local import LocalCompute
from tests.common.compute import tasks
list(LocalCompute(2).run(tasks.hang, [(sys.argv[1], "a"), (sys.argv[1], "b")], check=lambda: None))
"""


@pytest.fixture
def compute():
    return LocalCompute(2)


class TestLocalCompute(ComputeSuite):
    """Every test of the suite."""


def test_a_process_that_is_killed_costs_a_repetition_of_its_part(compute, tmp_path):
    parts = [(str(tmp_path), name) for name in "abcd"]
    kill = killing_at_first(tmp_path, lambda pid: os.kill(pid, signal.SIGKILL))
    assert_each_once(compute.run(tasks.hang_at_first, parts, check=kill), tmp_path)


def test_closing_the_iterator_kills_what_runs_and_what_that_started(compute, tmp_path):
    results = compute.run(tasks.hang_with_child, [(str(tmp_path), name) for name in "ab"], check=no_check)
    assert next(results) == (0, "a")
    wait_until((tmp_path / "b-1").exists)
    results.close()
    assert_gone([tmp_path / "b-1", tmp_path / "child-1"])


def test_a_process_keeps_its_state_from_part_to_part():
    results = [result for _, result in LocalCompute(1).run(tasks.count_in_process, range(3), check=no_check)]
    assert [parts for _, parts in results] == [1, 2, 3]
    assert len({process for process, _ in results} - {os.getpid()}) == 1


def test_no_more_processes_than_parts_are_started(tmp_path):
    results = [result for _, result in LocalCompute(8).run(tasks.count_in_process, range(2), check=no_check)]
    assert [parts for _, parts in results] == [1, 1]


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)]) as parent:
        wait_until(lambda: all((tmp_path / f"{name}-1").exists() for name in "ab"))
        parent.kill()
    assert_gone(tmp_path.iterdir())
