"""Parts on a real Ray cluster of several nodes on this machine."""

import socket

import pytest

from common.compute.ray_cluster import RayCompute
from common.errors import Unavailable
from tests.clusters import two_nodes
from tests.common.compute import tasks
from tests.common.compute.suite import (
    ComputeSuite,
    ReadOnce,
    assert_each_once,
    assert_gone,
    killing_at_first,
    no_check,
)
from tests.processes import descendants


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture
def compute(cluster):
    while len(cluster.nodes) < 2:  # one was killed
        cluster.add_node()
    return RayCompute(cluster.address)


class TestRayCompute(ComputeSuite):
    """Every test of the suite."""


def test_a_node_that_is_killed_costs_a_repetition_of_its_part(compute, cluster, tmp_path):
    parts = [(str(tmp_path), name) for name in "abcd"]
    kill = killing_at_first(tmp_path, cluster.kill_node_of)
    assert_each_once(compute.run(tasks.hang_at_first, parts, check=kill), tmp_path)


def test_no_more_parts_are_begun_than_are_allowed(compute, cluster):
    parts = ReadOnce(range(4))
    allowed = RayCompute(cluster.address, most_parts=1)
    for results, _ in enumerate(allowed.run(tasks.square, parts, check=no_check), 1):
        assert len(parts.reads) == results
    assert parts.reads == list(range(4))


def test_a_driver_that_dies_ends_the_run_and_what_runs(compute, tmp_path, log_lines):
    def kill_driver():
        if (tmp_path / "a-1").exists():
            for driver in descendants("common.compute.ray_driver"):
                driver.kill()

    with pytest.raises(Unavailable, match="was lost in the middle of a run"):
        list(compute.run(tasks.hang, [(str(tmp_path), "a")], check=kill_driver))
    assert [line["status"] for line in log_lines() if line["event"] == "ray_driver_died"] == [-9]
    assert_gone(tmp_path.iterdir())


def test_an_address_without_a_cluster_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unavailable, match=rf"`ray_address`: got {address}, where no cluster can be used"):
        list(RayCompute(address).run(tasks.square, [1], check=no_check))
