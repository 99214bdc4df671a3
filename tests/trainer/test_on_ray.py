"""Jobs on a real Ray cluster of several nodes: batch jobs, whose output is complete or absent, and tuning."""

import json
import threading

import pytest

from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute
from common.testing import serving, wait_until
from control_plane.domain.jobs import JobState
from control_plane.metadata_store.tables import Job
from control_plane.server import Timing
from tests.clusters import two_nodes
from tests.control_plane.resources.test_batch_jobs import inference_request, segment_request, version_of
from tests.control_plane.world import make_world
from tests.processes import descendants
from tests.runtime_service.world import N_ITEMS, RELATED, fit, item, publish
from tests.trainer.batch.planted_segments import publish_segments, segment_job
from tests.trainer.batch.running import BatchPlace, SameProcess
from tests.trainer.place import Place, walks
from tests.trainer.training.test_tuning import DISCOUNT, RecordingJobContext, search
from tests.trainer.worker.test_worker import Bench
from trainer.batch.runner import MARKER
from trainer.batch.segments import BatchSegmentJobHandler
from trainer.worker import NullJobContext

#: Parts of 500 lines.
LINES = 6000
SEGMENTS = "aws-item-affinity"


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


class Paused:
    """A cluster whose second result waits for leave, so that what a job says of the first can be looked at."""

    def __init__(self, cluster):
        self._compute, self.leave = RayCompute(cluster.address), threading.Event()

    def run(self, task, parts, *, check):
        for number, result in enumerate(self._compute.run(task, parts, check=check)):
            if number == 1:
                assert self.leave.wait(120)
            yield result


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("queue")
    world = make_world(root, timing=Timing(lease_seconds=60, retry_seconds=0, sweep_seconds=3600, max_waiting=4))
    with serving(world.plane.services) as target:
        yield Bench(world, Place(root / "data"), target)
        world.plane.long_polls.close()
    world.metadata_store.close()


def job_of(bench, arn):
    return bench.world.metadata_store.view(lambda unit: unit.first(Job, subject=arn))


def test_progress_is_in_the_row_of_the_job_and_a_trainer_that_closes_hands_it_back(cluster, batch, bench):
    version = version_of(bench.world, RELATED)
    publish(batch.store, bench.described(version).artifact_location, fit(RELATED))
    batch.compute = Paused(cluster)
    request = inference_request(version, source="s3://films/in/", output="s3://films/out/")
    arn = bench.world.resources.batch_inference.create(request).arn

    with bench.worker(handlers={"batch_inference": batch.handler()}) as worker:
        wait_until(lambda: 0 < job_of(bench, arn).progress < 1, seconds=120)
        assert "lines answered" in job_of(bench, arn).activity
        worker.close()
        batch.compute.leave.set()
        wait_until(lambda: job_of(bench, arn).state == JobState.WAITING, seconds=120)

    assert bench.world.resources.batch_inference.describe(arn).status == "CREATE IN_PROGRESS"
    assert batch.outputs() == []
    assert not list(descendants("common.compute.ray_driver"))
    # Nobody else may take it.
    bench.world.finish_next({"answered_lines": LINES})


def test_segments_are_made_on_the_cluster_and_their_progress_is_in_the_row(cluster, bench):
    version, place, compute = version_of(bench.world, SEGMENTS), bench.place, Paused(cluster)
    publish_segments(place, SEGMENTS, location=bench.described(version).artifact_location)
    for name in ("lake", "results"):
        (place.root / "s3" / name).mkdir()
    lines = [json.dumps({"itemId": f"i{number % 7}"}) for number in range(150)]  # one of seven is unknown
    (place.root / "s3" / "lake" / "items.json").write_text("\n".join(lines))
    runner = BatchPlace(place.root, compute=compute).runner()
    handler = BatchSegmentJobHandler(place.store, runner, flusher=place.flusher, store_settings=place.settings)
    arn = bench.world.resources.batch_segments.create(segment_request(version)).arn

    with bench.worker(handlers={"batch_segment": handler}):
        wait_until(lambda: 0 < job_of(bench, arn).progress < 1, seconds=120)
        compute.leave.set()
        wait_until(lambda: bench.world.resources.batch_segments.describe(arn).status == "ACTIVE", seconds=120)

    on_ray = (place.root / "s3" / "results" / "items.json.out").read_bytes()
    publish_segments(place, SEGMENTS)
    segment_job(place, SameProcess(), input_location="s3://lake/items.json", output_location="s3://films/output/")
    assert on_ray == (place.bucket / "output" / "items.json.out").read_bytes()
    assert on_ray.count(b"\n") == 150


def test_trials_of_a_tuning_are_measured_on_the_cluster(cluster, tmp_path):
    place, context = Place(tmp_path, ray_address=cluster.address), RecordingJobContext()
    place.write("a.csv", *walks(users=100))
    place.bring("s3://films/a.csv")

    result = search(place, "aws-sims", DISCOUNT, trials=3, context=context)

    assert set(result.tuned_hyper_parameters) == {DISCOUNT.name}
    activities = [stage for _, stage in context.reports]
    assert "3 of 3 trials" in activities
