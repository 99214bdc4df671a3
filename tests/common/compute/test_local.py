"""Parts in processes of this machine."""

import os
import subprocess
import sys

import pytest

from common.compute.local import LocalCompute
from tests.common.compute import tasks
from tests.common.compute.suite import ComputeSuite, assert_gone, no_check, wait_until

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
        for path in tmp_path.glob("*.child"):  # what a task starts is its own business where nobody is left to care
            os.kill(int(path.read_text()), 9)
        parent.kill()
    assert_gone(tmp_path)
