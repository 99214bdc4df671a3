"""The trainer as a process: ready when it can lease, stops cleanly, leaves nothing running when it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import psutil
import pytest

from cli.demo.journey import ROLE_ARN
from common.clock import SystemClock
from common.deletions import deletions_folder, list_deletions, read_report
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import make_keys, serving, wait_until
from control_plane.jobs.queue import MAX_ATTEMPTS
from control_plane.metadata_store.tables import Job
from control_plane.server import Timing
from events_service.log import LogTable
from events_service.log.sqlite import SqliteEventLog
from events_service.records import content_of
from events_service.server import Timing as EventsTiming
from events_service.server import assemble
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.control_plane.messages import solution_config
from tests.control_plane.test_process import healthy
from tests.control_plane.world import EVERYTHING, INTERACTIONS, PERSONALIZATION, make_world
from tests.events_service.samples import entry, event, known_trackers
from tests.processes import descendants, hanging_up
from tests.trainer.place import SCHEMAS, walks

ENDLESS = {"algorithmHyperParameters": {"embedding_size": "16", "epochs": "10000", "patience": "10000"}}


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def keys():
    return make_keys()


@pytest.fixture
def environment(tmp_path, keys):
    (tmp_path / "public.pem").write_bytes(keys.public_pem)
    (tmp_path / "token").write_text(keys.token("trainer"))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")},
        "TAILORBIRD_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "TAILORBIRD_TOKEN_FILE": str(tmp_path / "token"),
        "TAILORBIRD_STORE_URL": str(tmp_path / "store"),
        "TAILORBIRD_DATA_DIR": str(tmp_path),
        "TAILORBIRD_LISTEN": free_address(),
        "TAILORBIRD_HEARTBEAT_SECONDS": "0.1",
        "TAILORBIRD_CHECKPOINT_SECONDS": "0",
    }


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path, timing=Timing(retry_seconds=0, sweep_seconds=3600, max_waiting=4))
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture
def events(tmp_path):
    """An events service to which nobody has sent anything."""
    log = SqliteEventLog(tmp_path / "events", clock=SystemClock())
    store = open_store(StoreSettings(store_url=str(tmp_path / "store")))
    yield assemble(log, store, known_trackers(), timing=EventsTiming())
    log.close()


@pytest.fixture
def plane(world, events, keys, environment):
    with (
        serving(world.plane.services, keys=keys) as target,
        serving(events.services, keys=keys) as events_target,
    ):
        environment["TAILORBIRD_CONTROL_PLANE"] = target.target
        environment["TAILORBIRD_EVENTS_SERVICE"] = events_target.target
        yield target
        world.plane.long_polls.close()


@contextmanager
def trainer(environment, tmp_path):
    """Run the process; its log is in a file, so that it never waits for a reader."""
    with (tmp_path / "trainer.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "trainer"], env=environment, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def stop(process) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=30)


def endless_version(world, tmp_path) -> str:
    """Ask for a training that never ends, on data that the running trainer imports first."""
    bucket = tmp_path / "s3" / "bucket"
    bucket.mkdir(parents=True)
    lines = (line.rsplit(",", 1)[0] for line in walks())
    (bucket / "interactions.csv").write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE", *lines]) + "\n")
    group = world.group()
    job = world.import_job(world.dataset(group))
    wait_until(lambda: world.resources.imports.describe(job).status == "ACTIVE", seconds=60)
    request = CreateSolutionRequest(
        name=world.name("solution"),
        dataset_group_arn=group,
        recipe_arn=PERSONALIZATION,
        solution_config=solution_config(ENDLESS),
    )
    return world.version(world.resources.solutions.create(request).arn)


def datasets(world):
    return world.resources.datasets.list(EVERYTHING, dataset_group_arn=None).items


def training_process(process) -> psutil.Process | None:
    """Return the child once it runs its own program: until then it has the command and environment of its parent."""
    return next(iter(descendants("trainer.training.subprocess_main", of=process.pid)), None)


def epoch_of(world, version, *, at_least: int) -> int | None:
    """Return the epoch that a training says to be in, once it is one or a later one."""
    job = world.metadata_store.view(lambda unit: unit.first(Job, subject=version))
    epoch = 0 if job.training is None else job.training.epoch
    return epoch if epoch >= at_least else None


def test_ready_when_it_can_lease_and_stops_at_sigterm(plane, environment, tmp_path):
    with trainer(environment, tmp_path) as process:
        wait_until(lambda: healthy(environment["TAILORBIRD_LISTEN"]), seconds=60, every=0.1)
        assert stop(process) == 0
    assert '"event": "stopped"' in (tmp_path / "trainer.log").read_text()


def test_not_ready_while_there_is_no_control_plane(environment, tmp_path):
    with hanging_up() as away:
        environment["TAILORBIRD_CONTROL_PLANE"] = away.target
        with trainer(environment, tmp_path) as process:
            # It was there in vain, and comes again.
            wait_until(lambda: away.count >= 2, every=0.1)
            assert not healthy(environment["TAILORBIRD_LISTEN"])
            assert stop(process) == 0


def test_sigterm_hands_a_training_back_however_often(plane, world, environment, tmp_path):
    with trainer(environment, tmp_path) as process:
        version = endless_version(world, tmp_path)
        child = wait_until(lambda: training_process(process), seconds=60)
        assert child.environ()["MALLOC_MMAP_MAX_"] == "0"  # it keeps the memory that it frees
        assert [name for name in child.environ() if name.startswith("TAILORBIRD_")] == []
        assert stop(process) == 0
    assert not child.is_running()
    for _ in range(MAX_ATTEMPTS - 1):
        with trainer(environment, tmp_path) as again:
            wait_until(lambda again=again: training_process(again), seconds=60)
            assert stop(again) == 0

    assert world.resources.versions.describe(version).status == "CREATE IN_PROGRESS"
    lease = world.lease("other")
    assert (lease.job.subject, lease.job.attempt) == (version, 1)


def test_imports_and_removals_do_not_wait_for_the_training_of_another_group(plane, world, environment, tmp_path):
    with trainer(environment, tmp_path) as process:
        version = endless_version(world, tmp_path)
        child = wait_until(lambda: training_process(process), seconds=60)
        dataset = world.dataset(world.group())
        job = world.import_job(dataset)
        wait_until(lambda: world.resources.imports.describe(job).status == "ACTIVE", seconds=60)
        world.resources.datasets.delete(dataset)
        wait_until(lambda: dataset not in [row.arn for row in datasets(world)], seconds=60)
        assert child.is_running()
        assert world.resources.versions.describe(version).status == "CREATE IN_PROGRESS"


def test_one_training_runs_at_a_time(plane, world, environment, tmp_path):
    with trainer(environment, tmp_path) as process:
        running = endless_version(world, tmp_path)
        wait_until(lambda: training_process(process), seconds=60)
        second = world.version(world.resources.versions.describe(running).solution_arn)
        # Behind it in the queue, and done.
        job = world.import_job(world.dataset(world.group()))
        wait_until(lambda: world.resources.imports.describe(job).status == "ACTIVE", seconds=60)
        assert world.resources.versions.describe(second).status == "CREATE PENDING"


def test_a_killed_trainer_leaves_no_process_and_its_job_is_leased_again(plane, world, environment, tmp_path):
    with trainer(environment, tmp_path) as process:
        version = endless_version(world, tmp_path)
        child = wait_until(lambda: training_process(process), seconds=60)
        # As soon as the second epoch is told of, the first one is kept.
        before = wait_until(lambda: epoch_of(world, version, at_least=2), seconds=60)
        process.kill()
        process.wait()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=60)
    assert list((tmp_path / "trainer").iterdir()) != []
    assert world.lease("other") is None

    world.clock.advance(seconds=61)
    with trainer(environment, tmp_path) as process:
        child = wait_until(lambda: training_process(process), seconds=60)
        # The second attempt is this trainer's, and what the first one left is swept.
        assert len(list((tmp_path / "trainer").iterdir())) == 1
        wait_until(lambda: epoch_of(world, version, at_least=before), seconds=60)
        assert "training_resumed" in (tmp_path / "trainer.log").read_text()
        assert '"event": "checkpoint_read"' in (tmp_path / "trainer.log").read_text()
        checkpoints = next((tmp_path / "store" / "artifacts").rglob("checkpoints"))
        world.resources.versions.stop(version)
        wait_until(lambda: world.resources.versions.describe(version).status == "CREATE STOPPED", seconds=60)
        assert not child.is_running()
        assert not checkpoints.exists()


class Killing:
    """Lets calls through to a servicer, and kills the trainer when it comes to the next of some steps.

    Attributes:
        steps: What is left of them; shared by all servicers.
        process: The trainer.
    """

    steps: ClassVar[deque[str]] = deque()
    process: ClassVar[subprocess.Popen | None] = None

    def __init__(self, servicer) -> None:
        self._servicer = servicer

    def __getattr__(self, name):
        return getattr(self._servicer, name)

    def HeartbeatJob(self, request, context):
        self._kill_at(request.activity)
        return self._servicer.HeartbeatJob(request, context)

    def RemoveUsers(self, request, context):
        self._kill_at(f"removal from {request.table_location}")
        return self._servicer.RemoveUsers(request, context)

    @classmethod
    def _kill_at(cls, step) -> None:
        if cls.steps and step.startswith(cls.steps[0]):
            cls.steps.popleft()
            cls.process.kill()
            cls.process.wait()


@pytest.fixture
def killing_plane(world, events, keys, environment):
    killing = [
        [replace(item, servicer=Killing(item.servicer)) for item in part.services] for part in (world.plane, events)
    ]
    with serving(killing[0], keys=keys) as target, serving(killing[1], keys=keys) as events_target:
        environment["TAILORBIRD_CONTROL_PLANE"] = target.target
        environment["TAILORBIRD_EVENTS_SERVICE"] = events_target.target
        yield
        world.plane.long_polls.close()


@pytest.mark.parametrize(
    "steps",
    [
        ("removal from {interactions}", "deleting from USERS"),
        ("removal from {users}", "looking for models"),
    ],
)
def test_a_trainer_that_is_killed_in_the_middle_of_a_deletion_leaves_the_rest_to_the_next(
    killing_plane, world, events, environment, tmp_path, steps
):
    bucket = tmp_path / "s3" / "bucket"
    bucket.mkdir(parents=True)
    lines = [f"{user},item-{number},{number},watch" for number, user in enumerate(["gone", "stays"] * 6)]
    (bucket / "interactions.csv").write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE", *lines]) + "\n")
    (bucket / "users.csv").write_text("USER_ID,AGE\ngone,3\nstays,4\n")
    (bucket / "leavers.csv").write_text("USER_ID\ngone\n")
    group = world.group()
    jobs = [world.import_job(world.dataset(group))]
    users = world.dataset(group, "Users", SCHEMAS["USERS"])
    made = world.resources.imports.create("users", dataset_arn=users, data_location="s3://bucket/users.csv")
    with trainer(environment, tmp_path):
        for job in [*jobs, made.arn]:
            wait_until(lambda job=job: world.resources.imports.describe(job).status == "ACTIVE", seconds=60)
    locations = {row.dataset_type.lower(): row.location for row in datasets(world)}
    place = LogTable(locations["interactions"], group, INTERACTIONS)
    log = events.services[-1].servicer._log
    log.append([entry(event(n, user_id=f"{'gone' if n % 2 else 'stays'}"), to=place) for n in range(6)], seconds=20)
    deletion = world.resources.deletions.create(
        "leavers", dataset_group_arn=group, role_arn=ROLE_ARN, data_location="s3://bucket/leavers.csv"
    ).arn
    Killing.steps = deque(step.format(**locations) for step in steps)

    def status():
        return world.resources.deletions.describe(deletion).status

    for _ in range(3):
        with trainer(environment, tmp_path) as Killing.process:
            wait_until(lambda: Killing.process.poll() is not None or status() in ("COMPLETED", "FAILED"), seconds=60)
        world.clock.advance(seconds=61)

    assert (status(), world.resources.deletions.describe(deletion).num_deleted) == ("COMPLETED", 6 + 1)
    store = open_store(StoreSettings(store_url=str(tmp_path / "store")))
    (ledger,) = list_deletions(store, deletions_folder(place.location))
    report = read_report(store, ledger)
    assert (report.users, [item.rows for item in report.tables]) == (1, [6, 1])
    assert sorted(Table(store, place.location).read()["USER_ID"]) == ["stays"] * 6
    assert Table(store, locations["users"]).read()["USER_ID"].to_list() == ["stays"]
    assert [content_of(record).user_id for record in log.read(1, max_records=10).records] == ["stays"] * 3
    assert not Killing.steps


def test_a_missing_token_stops_it_at_once(environment, tmp_path):
    del environment["TAILORBIRD_TOKEN_FILE"]
    with trainer(environment, tmp_path) as process:
        assert process.wait(timeout=60) == 1
    assert (tmp_path / "trainer.log").read_text().startswith("trainer: `token_file`: got none, want")


def test_a_process_that_cannot_start_says_why_in_one_line(environment, tmp_path):
    environment["TAILORBIRD_STORE_URL"] = "ftp://host/store"
    with trainer(environment, tmp_path) as process:
        assert process.wait(timeout=60) == 1
    log = (tmp_path / "trainer.log").read_text()
    assert log.startswith("trainer: `store_url`: got 'ftp://host/store', want")
    assert log.count("\n") == 1
