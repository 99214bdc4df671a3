"""Jobs on a real Ray cluster of several nodes: batch inference, whose output is complete or absent, and tuning."""

import json

import pytest

from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute
from tests.clusters import two_nodes
from tests.runtime_service.world import N_ITEMS, RELATED, fit, item, publish
from tests.trainer.batch.running import BatchPlace
from tests.trainer.place import Place, walks
from tests.trainer.training.test_tuning import DISCOUNT, RecordingJobContext, search
from trainer.batch.runner import MARKER
from trainer.worker import CancelReason, JobCancelled, NullJobContext

#: Parts of 500 lines.
LINES = 6000


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture
def batch(tmp_path):
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


def test_a_node_that_is_killed_in_the_middle_of_a_job_costs_no_line_and_doubles_none(cluster, batch):
    batch.compute = LocalCompute(1)
    batch.run("artifacts/related", output="s3://films/local/")
    batch.compute = RayCompute(cluster.address)
    context = Observed(lambda: cluster.kill_node(min(cluster.nodes)))

    result = batch.run("artifacts/related", context=context)

    assert context.act is None
    assert len(cluster.nodes) == 1
    assert (result.answered_lines, result.failed_lines) == (LINES - 1, 1)
    assert batch.outputs() == [MARKER, "lines.json.out"]
    local, on_ray = ((batch.bucket / folder / "lines.json.out").read_bytes() for folder in ("local", "out"))
    assert on_ray == local
    assert context.fractions == sorted(context.fractions)
    assert context.fractions[-1] == 1


def test_a_job_that_is_stopped_leaves_no_output(cluster, batch):
    class Stopped(Observed):
        """Of a job that its owner stops as soon as something is done."""

        def check(self):
            if self.act is None:
                raise JobCancelled(CancelReason.STOP)

    batch.compute = RayCompute(cluster.address)
    with pytest.raises(JobCancelled):
        batch.run("artifacts/related", context=Stopped(lambda: None))
    assert batch.outputs() == []


def test_trials_of_a_tuning_are_measured_on_the_cluster(cluster, tmp_path):
    place, context = Place(tmp_path, ray_address=cluster.address), RecordingJobContext()
    place.write("a.csv", *walks(users=100))
    place.bring("s3://films/a.csv")

    result = search(place, "aws-sims", DISCOUNT, trials=3, context=context)

    assert set(result.tuned_hyper_parameters) == {DISCOUNT.name}
    activities = [stage for _, stage in context.reports]
    assert "3 of 3 trials" in activities
