"""`tailorbird jobs` against a real control plane: what waits, runs and has ended, and how far a training is."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from cli.app import Env, app, run
from cli.installation import Installation, Running
from cli.jobs_view import job_view
from common.auth import TokenIssuer, TokenVerifier
from common.testing import Keys, serving
from control_plane.servicers.job_statuses import JobStatusServicer
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress
from tests.control_plane.world import make_world

PROGRESS = TrainingProgress(
    epoch=3, epochs=100, step=40, steps=900, training_loss=6.25, validation_ndcg_at_10=0.125, seconds_left=3725.4
)


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


class Looks:
    """Lets calls through to the servicer of jobs, and ends a job after the first look at it.

    Attributes:
        seen: The jobs of the last answer.
    """

    def __init__(self, servicer, queue):
        self._servicer, self._queue = servicer, queue
        self._lease = None
        self.seen = []

    def then_fail(self, lease):
        self._lease = lease

    def ListJobs(self, request, context):
        answer = self._servicer.ListJobs(request, context)
        self.seen = list(answer.jobs)
        if self._lease is not None:
            self._queue.fail(self._lease.job.id, self._lease.token, reason="it is full", retryable=False)
            self._lease = None
        return answer


@pytest.fixture
def looks(world):
    (servicer,) = [item.servicer for item in world.plane.services if isinstance(item.servicer, JobStatusServicer)]
    return Looks(servicer, world.plane.queue)


@pytest.fixture
def tailorbird(world, looks, tmp_path, capsys):
    """Serve the control plane as `tailorbird up` would, and call commands on it."""
    installation = Installation(tmp_path / "data")
    installation.prepare()
    private, public = installation.keys.private_key.read_bytes(), installation.keys.public_key.read_bytes()
    keys = Keys(TokenIssuer(private), TokenVerifier(public), private, public)
    with ExitStack() as stack:
        services = [
            replace(item, servicer=looks) if isinstance(item.servicer, JobStatusServicer) else item
            for item in world.plane.services
        ]
        running = stack.enter_context(serving(services, keys=keys))
        endpoint = f"http://127.0.0.1:{running.server.port - 1}"
        stack.enter_context(installation.lock(Running(process_id=1, endpoint=endpoint)))

        def call(*arguments):
            capsys.readouterr()  # what the control plane has logged
            code = run(app, Env(environ={}), ["jobs", *arguments, "--data-dir", str(installation.root)])
            return code, capsys.readouterr()

        yield call


@pytest.fixture
def training(world):
    """Train a solution as far as to its third epoch; gives the version and the lease."""
    version = world.version(world.solution(world.imported_group()))
    lease = world.lease()
    world.plane.queue.heartbeat(
        lease.job.id, lease.token, progress=0.25, activity="epoch 3 of at most 100", training=PROGRESS
    )
    return version, lease


def test_a_running_training_shows_its_epochs(tailorbird, training):
    version, _ = training

    code, shown = tailorbird("list", "--json")

    (job,) = json.loads(shown.out)
    assert (code, job["resource_arn"], job["state"]) == (0, version, "RUNNING")
    assert job["progress"] == {
        "fraction": 0.25, "activity": "epoch 3 of at most 100", "epoch": 3, "epochs": 100, "step": "40", "steps": "900",
        "training_loss": 6.25, "validation_ndcg_at_10": 0.125, "seconds_left": 3725.4, "attempt": 1,
    }  # fmt: skip
    assert "25 %" in tailorbird("list")[1].out


def test_a_job_is_watched_until_it_ends(tailorbird, training, looks):
    version, lease = training
    looks.then_fail(lease)

    code, shown = tailorbird("watch", version, "--every", "0.1")

    # The control plane of the test logs to the same place.
    first, *_, last = [line for line in shown.out.splitlines() if line.startswith(("running", "failed"))]
    assert code == 1
    assert first == (
        "running, 25.0 %, epoch 3 of at most 100, step 40 of 900, training loss 6.2500, validation NDCG@10 0.1250, "
        "time left 1:02:05"
    )
    assert last.startswith("failed, 25.0 %")
    assert "the job failed: it is full" in shown.err
    listed = [json.loads(tailorbird("list", "--json", *more)[1].out) for more in ((), ("--ended",))]
    assert listed[0] == []
    assert version in [job["resource_arn"] for job in listed[1] if job["state"] == "FAILED"]


def test_all_that_is_known_of_a_job_fits_one_screen(looks, training, tailorbird):
    version, lease = training
    looks.then_fail(lease)
    tailorbird("watch", version, "--every", "0.1")

    (job,) = [job for job in looks.seen if job.resource_arn == version]

    console = Console(file=StringIO(), width=100)
    console.print(job_view(job))
    text = console.file.getvalue()
    for words in ("FAILED", "3 of at most 100", "40 of 900", "6.2500", "0.1250", "1:02:05", "it is full"):
        assert words in text


def test_a_resource_without_a_job_is_refused(tailorbird):
    code, shown = tailorbird("watch", "arn:aws:personalize:eu-west-1:123456789012:solution/none/1")

    assert code == 1
    assert "want a resource with a job" in shown.err
