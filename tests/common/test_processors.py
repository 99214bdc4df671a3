"""How many processors a process takes to be its own."""

import os
import sys

import pytest

from common.processors import usable_processors
from gateway.settings import GatewaySettings
from runtime_service.settings import RuntimeSettings
from trainer.settings import TrainerSettings


@pytest.fixture
def root(tmp_path):
    """Give a file system in which this process is in a control group within another one."""
    for folder in ("proc/self", "sys/fs/cgroup/outer/inner"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/outer/inner\n")
    return tmp_path


def available():
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


@pytest.mark.parametrize(
    ("outer", "inner", "most"),
    [
        ("max 100000", "max 100000", None),
        ("max 100000", "100000 100000", 1),
        ("50000 100000", "max 100000", 1),
        ("12800000 100000", "6400000 100000", 64),
        ("", "no quota", None),
    ],
)
def test_quotas_of_all_groups_count(root, outer, inner, most):
    (root / "sys/fs/cgroup/outer/cpu.max").write_text(f"{outer}\n")
    (root / "sys/fs/cgroup/outer/inner/cpu.max").write_text(f"{inner}\n")

    assert usable_processors(root) == min(available(), most or available())


def test_without_groups_the_affinity_counts(tmp_path):
    assert usable_processors(tmp_path) == available()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has affinities")
def test_services_divide_their_work_among_the_processors_that_they_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert GatewaySettings().worker_names() == RuntimeSettings().worker_names() == ["worker-0"]
        assert TrainerSettings().local_workers() == 1
        assert TrainerSettings(compute_workers=3).local_workers() == 3
    finally:
        os.sched_setaffinity(0, allowed)
