"""Workers against a real control plane, over the wire: results, stops, lost leases, retries."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest

from common.artifacts import open_artifact
from common.errors import InvalidInput, ResourceNotFound, Unavailable
from common.telemetry import NO_FIGURES
from common.telemetry.shared import Block, SharedFigures
from common.testing import serving, wait_until
from control_plane.jobs.queue import MAX_ATTEMPTS
from control_plane.server import Timing
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.common.telemetry.shown import shown
from tests.control_plane.messages import solution_config
from tests.control_plane.world import EVERYTHING, PERSONALIZATION, POPULARITY, World, make_world
from tests.processes import descendants
from tests.trainer.place import Place, walks
from trainer.figures import FIGURES
from trainer.removal import RemovalJobHandler
from trainer.training.process import run_training
from trainer.worker.loop import Worker
from trainer.worker.queue import JobQueue

ENDLESS = {"algorithmHyperParameters": {"embedding_size": "16", "epochs": "10000", "patience": "10000"}}
HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE"


@dataclass
class Bench:
    """A control plane and a place for trainers."""

    world: World
    place: Place
    target: object

    @contextmanager
    def worker(self, name: str = "trainer-1", handlers=None, figures=NO_FIGURES):
        """Run a worker beside the test."""
        with self.target.channel("trainer") as channel:
            contacts: list[bool] = []
            made = Worker(
                JobQueue(channel, worker_id=name),
                handlers if handlers is not None else self.handlers(),
                lease_wait_seconds=20,
                heartbeat_seconds=0.05,
                on_contact=contacts.append,
                figures=figures,
            )
            thread = threading.Thread(target=made.run)
            thread.start()
            try:
                wait_until(lambda: contacts == [True])
                yield made
            finally:
                made.close()
                thread.join(timeout=30)
                assert not thread.is_alive()

    def handlers(self):
        place = self.place
        return {
            "dataset_import": place.import_handler(),
            "solution_version_training": place.training_handler(run_training),
            "storage_removal": RemovalJobHandler(place.store),
        }

    def write(self, *lines: str) -> None:
        """Write what the world's import jobs name."""
        folder = self.place.root / "s3" / "bucket"
        folder.mkdir(exist_ok=True)
        (folder / "interactions.csv").write_text("\n".join([HEADER, *lines]) + "\n")

    def asked_import(self) -> str:
        return self.world.import_job(self.world.dataset(self.world.group()))

    def filled_group(self) -> str:
        self.write(*(line.rsplit(",", 1)[0] for line in walks()))
        group = self.world.group()
        job = self.world.import_job(self.world.dataset(group))
        with self.worker():
            wait_until(lambda: self.import_status(job) == "ACTIVE")
        return group

    def import_status(self, arn: str) -> str:
        return self.world.resources.imports.describe(arn).status

    def version(self, group: str, recipe: str = POPULARITY, config=None) -> str:
        request = CreateSolutionRequest(
            name=self.world.name("solution"),
            dataset_group_arn=group,
            recipe_arn=recipe,
            solution_config=solution_config(config or {}),
        )
        return self.world.version(self.world.resources.solutions.create(request).arn)

    def described(self, version: str):
        return self.world.resources.versions.describe(version)


@pytest.fixture
def bench(tmp_path):
    timing = Timing(lease_seconds=60, retry_seconds=0, sweep_seconds=3600, max_waiting=4)
    world = make_world(tmp_path, timing=timing)
    with serving(world.plane.services) as target:
        yield Bench(world, Place(tmp_path / "data"), target)
        world.plane.long_polls.close()
    world.metadata_store.close()


def training_process() -> psutil.Process | None:
    return next(iter(descendants("trainer.training.subprocess_main")), None)


def test_an_import_becomes_active_with_its_rows(bench):
    bench.write("u1,i1,5,watch", "u2,i2,6,watch")
    job, block = bench.asked_import(), Block()
    with bench.worker(figures=SharedFigures(block)):
        wait_until(lambda: bench.import_status(job) == "ACTIVE")
    assert bench.world.resources.imports.describe(job).imported_rows == 2
    samples = shown([block], FIGURES)
    assert samples["tailorbird_trainer_jobs_ended_total", "dataset_import", "completed"] == 1
    assert samples["tailorbird_trainer_job_seconds_count", "dataset_import"] == 1
    assert samples["tailorbird_trainer_jobs_running", "dataset_import"] == 0


def test_a_job_that_comes_while_a_worker_waits_is_taken_at_once(bench):
    bench.write("u1,i1,5,watch")
    with bench.worker():
        job = bench.asked_import()
        wait_until(lambda: bench.import_status(job) == "ACTIVE", seconds=10)


def test_a_bad_file_fails_its_import_without_another_attempt(bench):
    bench.write("u1,i1,soon,watch")
    job = bench.asked_import()
    with bench.worker():
        wait_until(lambda: bench.import_status(job) == "CREATE FAILED")
    reason = bench.world.resources.imports.describe(job).failure_reason
    assert reason.startswith(
        "Failed to create a data import job for Interactions dataset. 1 of 1 rows cannot be imported, so none was. "
        "interactions.csv, line 2, TIMESTAMP: got 'soon', want an integer of 64 bits Whole report: datasets/"
    )


def test_a_version_is_trained_measured_and_published(bench):
    version = bench.version(bench.filled_group())
    with bench.worker():
        wait_until(lambda: bench.described(version).status == "ACTIVE", seconds=120)
    row = bench.described(version)
    assert len(row.metrics) == 8
    assert row.training_hours > 0
    artifact = open_artifact(bench.place.store, row.artifact_location, cache=bench.place.root / "cache")
    assert (artifact.manifest.solution_version_arn, artifact.manifest.metrics["coverage"]) == (
        version, row.metrics["coverage"],
    )  # fmt: skip


def test_a_stop_ends_the_process_and_publishes_nothing(bench):
    version = bench.version(bench.filled_group(), PERSONALIZATION, ENDLESS)
    with bench.worker():
        process = wait_until(training_process)
        bench.world.resources.versions.stop(version)
        wait_until(lambda: bench.described(version).status == "CREATE STOPPED")
    assert not process.is_running()
    with pytest.raises(ResourceNotFound):
        open_artifact(bench.place.store, bench.described(version).artifact_location, cache=bench.place.root)


def test_a_worker_that_closes_hands_its_job_to_another(bench):
    version = bench.version(bench.filled_group(), PERSONALIZATION, ENDLESS)
    with bench.worker():
        process = wait_until(training_process)
    assert not process.is_running()
    assert bench.described(version).status == "CREATE IN_PROGRESS"
    with bench.worker("trainer-2"):
        wait_until(training_process)
        bench.world.resources.versions.stop(version)
        wait_until(lambda: bench.described(version).status == "CREATE STOPPED")


def test_a_worker_that_lost_its_lease_stops_and_publishes_nothing(bench):
    version = bench.version(bench.filled_group(), PERSONALIZATION, ENDLESS)
    with bench.worker():
        process = wait_until(training_process)
        # The lease is over for the control plane before the next sign of life comes; another worker has it at once.
        while (lease := _take_over(bench)) is None:
            pass
        wait_until(lambda: not process.is_running())
        assert bench.described(version).status == "CREATE IN_PROGRESS"
        bench.world.queue.fail(lease.job.id, lease.token, reason="done", retryable=False)
    assert bench.described(version).failure_reason.endswith("Attempt 2 (other): done.")


def _take_over(bench):
    """Let the present lease expire and take the job, unless a sign of life comes in between."""
    bench.world.clock.advance(seconds=61)
    return bench.world.lease("other")


def test_after_three_deaths_the_version_fails_with_a_reason_to_act_on(bench):
    version = bench.version(bench.filled_group(), PERSONALIZATION, ENDLESS)
    with bench.worker():
        for _ in range(3):
            process = wait_until(training_process)
            process.kill()
            wait_until(lambda process=process: not process.is_running())
        wait_until(lambda: bench.described(version).status == "CREATE FAILED")
    reason = bench.described(version).failure_reason
    assert reason.startswith("The training was given up after 3 attempts. Attempt 1 (trainer-1): the training process ")
    assert reason.count("give the trainer more memory") == 3


def test_a_fault_in_a_handler_fails_the_job_and_not_the_worker(bench):
    class Faulty:
        def run(self, payload, context):
            raise ZeroDivisionError

    bench.write("u1,i1,5,watch")
    job = bench.asked_import()
    with bench.worker(handlers={"dataset_import": Faulty()}):
        wait_until(lambda: bench.import_status(job) == "CREATE FAILED")
        other = bench.asked_import()
        wait_until(lambda: bench.import_status(other) == "CREATE FAILED")
    assert "internal error (ZeroDivisionError)" in bench.world.resources.imports.describe(job).failure_reason


class Panic(BaseException):
    """What faults in foreign code that is not Python's are raised as."""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (InvalidInput("caf\udce9.csv: got no rows"), r"caf\udce9.csv: got no rows"),
        (Panic(), "internal error (Panic)"),
        (SystemExit(), "internal error (SystemExit)"),
    ],
    ids=["a name that is no Unicode", "a panic", "an exit"],
)
def test_whatever_a_handler_raises_is_reported_and_the_worker_goes_on(bench, fault, message):
    class Faulty:
        def run(self, payload, context):
            raise fault

    bench.write("u1,i1,5,watch")
    jobs = [bench.asked_import(), bench.asked_import()]
    with bench.worker(handlers={"dataset_import": Faulty()}):
        wait_until(lambda: [bench.import_status(job) for job in jobs] == ["CREATE FAILED"] * 2)
    assert message in bench.world.resources.imports.describe(jobs[1]).failure_reason


def test_deleted_datasets_leave_nothing_in_the_store(bench):
    group = bench.filled_group()
    (dataset,) = bench.world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    assert list(bench.place.store.list("datasets"))
    bench.world.resources.datasets.delete(dataset.arn)
    with bench.worker():
        wait_until(lambda: not bench.world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items)
    assert list(bench.place.store.list("datasets")) == []


class Unlucky:
    """Does trainings that always fail for trouble of the moment, and keeps something for the next attempt."""

    def __init__(self):
        self.attempts = []
        self.given_up_after = []

    def run(self, payload, context):
        self.attempts.append(payload.artifact_location)
        raise Unavailable("the disk is away")

    def given_up(self, payload):
        self.given_up_after.append((payload.artifact_location, len(self.attempts)))
        raise OSError(39, "Directory not empty")


def test_what_is_kept_for_the_next_attempt_goes_when_none_follows(bench):
    unlucky = Unlucky()
    group = bench.filled_group()
    version = bench.version(group)

    with bench.worker(handlers={"solution_version_training": unlucky}):
        wait_until(lambda: bench.described(version).status == "CREATE FAILED")
        wait_until(lambda: unlucky.given_up_after)

        assert unlucky.given_up_after == [(bench.described(version).artifact_location, MAX_ATTEMPTS)]
        # What cannot be removed ends no worker.
        another = bench.version(group)
        wait_until(lambda: bench.described(another).status == "CREATE FAILED")
