"""Batch inference jobs on a real Ray cluster of several nodes: their output is complete or absent."""

import json

import pytest

from benchmarks.ray_cluster import ray_cluster
from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute
from tests.runtime_service.world import N_ITEMS, RELATED, fit, item, publish
from tests.trainer.batch.running import BatchPlace
from trainer.batch.runner import MARKER
from trainer.worker import CancelReason, JobCancelled, NullJobContext

#: Parts of 500 lines.
LINES = 6000


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray has no package for this machine")
    with ray_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def place(tmp_path):
    place = BatchPlace(tmp_path)
    publish(place.store, "artifacts/related", fit(RELATED))
    lines = [json.dumps({"itemId": item(number % N_ITEMS)}) for number in range(LINES)]
    lines[1234] = "{"
    place.ask(*lines)
    return place


class Observed(NullJobContext):
    """Keeps what a job reports, and does something once some of it is done."""

    def __init__(self, act):
        self.act, self.fractions = act, []

    def report(self, *, fraction, activity):
        self.fractions.append(fraction)
        if 0 < fraction < 1 and self.act is not None:
            act, self.act = self.act, None
            act()


def test_a_node_that_is_killed_in_the_middle_of_a_job_costs_no_line_and_doubles_none(cluster, place):
    place.compute = LocalCompute(1)
    place.run("artifacts/related", output="s3://films/local/")
    place.compute = RayCompute(cluster.address)
    context = Observed(lambda: cluster.kill_node(min(cluster.nodes)))

    result = place.run("artifacts/related", context=context)

    assert context.act is None
    assert len(cluster.nodes) == 1
    assert (result.answered_lines, result.failed_lines) == (LINES - 1, 1)
    assert place.outputs() == [MARKER, "lines.json.out"]
    local, on_ray = ((place.bucket / folder / "lines.json.out").read_bytes() for folder in ("local", "out"))
    assert on_ray == local
    assert context.fractions == sorted(context.fractions)
    assert context.fractions[-1] == 1


def test_a_job_that_is_stopped_leaves_no_output(cluster, place):
    class Stopped(Observed):
        """Of a job that its owner stops as soon as something is done."""

        def check(self):
            if self.act is None:
                raise JobCancelled(CancelReason.STOP)

    place.compute = RayCompute(cluster.address)
    with pytest.raises(JobCancelled):
        place.run("artifacts/related", context=Stopped(lambda: None))
    assert place.outputs() == []
