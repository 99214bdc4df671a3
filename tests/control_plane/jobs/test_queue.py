"""Leases, heartbeats, expiry, retries, stops: the life of jobs and what becomes of the resources they are for."""

from __future__ import annotations

import threading

import pytest

from common.errors import InvalidInput, LeaseLost
from common.logs import request_id
from control_plane.domain.jobs import JobKind, JobState
from control_plane.jobs.queue import MAX_ATTEMPTS
from control_plane.metadata_store.tables import Job, SolutionVersion
from control_plane.resources.job_statuses import JobStatuses
from control_plane.server import assemble
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress
from protos.tailorbird.internal.v1.jobs_pb2 import SolutionVersionTrainingResult, StoppedResult
from tests.control_plane.world import TIMING, World


@pytest.fixture
def version(world):
    return world.version(world.solution(world.imported_group()))


def fail(world, reason, *, retryable=True, worker="trainer-1"):
    lease = world.lease(worker)
    return world.queue.fail(lease.job.id, lease.token, reason=reason, retryable=retryable)


def test_nothing_is_leased_while_nothing_waits(world):
    assert world.lease() is None


def test_lease_has_the_payload_and_is_shown_in_the_resource(world, version):
    lease = world.lease("trainer-1", JobKind.SOLUTION_VERSION_TRAINING)

    assert lease.job.subject == version
    assert lease.job.attempt == 1
    assert (lease.expires_at - world.clock.now()).total_seconds() == 60
    assert lease.job.payload["recipe"] == "aws-popularity-count"
    assert world.resources.versions.describe(version).status == "CREATE IN_PROGRESS"


def test_worker_gets_only_the_kinds_it_can_do(world, version):
    assert world.lease("trainer-1", JobKind.DATASET_IMPORT) is None
    assert world.lease("trainer-1", JobKind.SOLUTION_VERSION_TRAINING) is not None


def test_job_has_the_id_of_the_request_that_created_it(world):
    dataset = world.dataset(world.group())
    token = request_id.set("request-7")
    world.import_job(dataset)
    request_id.reset(token)

    assert world.lease().job.request_id == "request-7"


def test_result_makes_the_resource_active(world, version):
    lease = world.lease()
    result = {"training_hours": 0.25, "metrics": {"coverage": 0.5}, "artifact_bytes": 5_000_000_000}

    world.complete(lease, result)

    version_row = world.resources.versions.describe(version)
    assert (version_row.status, version_row.training_hours, version_row.artifact_bytes) == (
        "ACTIVE",
        0.25,
        5_000_000_000,
    )
    assert world.resources.versions.metrics(version) == {"coverage": 0.5}


def test_completing_twice_is_harmless(world, version):
    lease = world.lease()
    world.complete(lease, {})

    world.complete(lease, {})

    assert world.resources.versions.describe(version).status == "ACTIVE"


@pytest.mark.parametrize("kind", [JobKind.DATASET_IMPORT, None])
def test_result_of_another_kind_is_refused(world, version, kind):
    lease = world.lease()

    with pytest.raises(InvalidInput, match="`result`"):
        world.queue.complete(lease.job.id, lease.token, kind=kind, result=StoppedResult())


def test_heartbeat_renews_the_lease(world, version):
    lease = world.lease()
    world.clock.advance(seconds=50)
    renewal = world.queue.heartbeat(lease.job.id, lease.token, progress=0.4, activity="epoch 2 of 5")
    world.clock.advance(seconds=50)

    assert world.lease("trainer-2") is None
    assert (renewal.expires_at - world.clock.now()).total_seconds() == 10
    assert not renewal.stop_requested


def test_job_of_an_expired_lease_can_be_leased_again_at_once(world, version):
    first = world.lease("trainer-1")
    world.clock.advance(seconds=61)

    second = world.lease("trainer-2")

    assert second.job.id == first.job.id
    assert second.job.attempt == 2
    assert second.token != first.token
    assert world.resources.versions.describe(version).status == "CREATE IN_PROGRESS"


def test_outage_of_the_control_plane_costs_no_worker_its_lease(world, version):
    lease = world.lease("trainer-1")
    world.clock.advance(seconds=3600)
    restarted = World(
        world.metadata_store, world.clock, world.app_context, assemble(world.metadata_store, world.app_context, TIMING)
    )

    restarted.sweep()
    assert restarted.lease("trainer-2") is None
    restarted.queue.heartbeat(lease.job.id, lease.token, progress=0.5, activity=None)

    world.clock.advance(seconds=61)
    assert restarted.lease("trainer-2").job.id == lease.job.id


def test_worker_whose_lease_has_expired_gets_lease_lost(world, version):
    lost = world.lease("trainer-1")
    world.clock.advance(seconds=61)
    world.lease("trainer-2")

    with pytest.raises(LeaseLost, match="publish nothing"):
        world.queue.heartbeat(lost.job.id, lost.token, progress=None, activity=None)
    with pytest.raises(LeaseLost):
        world.complete(lost, {})
    with pytest.raises(LeaseLost):
        world.queue.fail(lost.job.id, lost.token, reason="x", retryable=True)


def test_invented_lease_is_refused(world, version):
    lease = world.lease()

    with pytest.raises(LeaseLost):
        world.queue.heartbeat(lease.job.id, "0" * 32, progress=None, activity=None)
    with pytest.raises(LeaseLost):
        world.queue.heartbeat("another job", lease.token, progress=None, activity=None)


def test_late_heartbeat_renews_a_lease_that_was_not_given_away(world, version):
    lease = world.lease()
    world.clock.advance(seconds=61)

    world.queue.heartbeat(lease.job.id, lease.token, progress=None, activity=None)

    assert world.lease("trainer-2") is None


def test_after_three_lost_leases_the_resource_fails_with_a_reason_for_each(world, version):
    first = world.lease("trainer-1")
    world.queue.heartbeat(first.job.id, first.token, progress=0.5, activity="epoch 4 of 30")
    world.clock.advance(seconds=61)
    world.lease("trainer-2")
    world.clock.advance(seconds=61)
    world.lease("trainer-3")
    world.clock.advance(seconds=61)
    world.sweep()

    version_row = world.resources.versions.describe(version)
    assert version_row.status == "CREATE FAILED"
    assert "given up after 3 attempts" in version_row.failure_reason
    assert (
        "Attempt 1 (trainer-1): the worker sent no sign of life after 2026-01-01 00:00:00 UTC while at: epoch 4 of 30"
        in version_row.failure_reason
    )
    assert "Attempt 3 (trainer-3)" in version_row.failure_reason
    assert world.lease("trainer-4") is None


def test_retryable_failure_is_tried_again_after_a_growing_pause(world, version):
    assert fail(world, "the store is away")
    assert world.lease() is None
    world.clock.advance(seconds=5)
    assert fail(world, "the store is away")
    world.clock.advance(seconds=5)
    assert world.lease() is None
    world.clock.advance(seconds=5)
    assert not fail(world, "the store is still away")

    version_row = world.resources.versions.describe(version)
    assert version_row.status == "CREATE FAILED"
    assert "Attempt 3 (trainer-1): the store is still away." in version_row.failure_reason


def test_attempt_that_a_stopping_worker_releases_does_not_count(world, version):
    for _ in range(MAX_ATTEMPTS + 1):
        lease = world.lease("stopping")
        world.queue.release(lease.job.id, lease.token)
    fail(world, "the disk is full")
    world.clock.advance(seconds=60)
    lease = world.lease("lost")
    world.clock.advance(seconds=61)
    world.queue.expire()

    assert world.lease("trainer-3").job.attempt == 3


def test_failure_reason_lists_only_the_attempts_that_counted(world, version):
    lease = world.lease("stopping")
    world.queue.release(lease.job.id, lease.token)
    for worker in ("one", "two", "three"):
        fail(world, "the disk is full", worker=worker)
        world.clock.advance(seconds=60)

    reason = world.resources.versions.describe(version).failure_reason
    assert "was given up after 3 attempts. Attempt 1 (one): the disk is full. Attempt 2 (two)" in reason
    assert "stopping" not in reason


def test_a_repeated_release_changes_nothing_and_a_late_one_is_refused(world, version):
    lease = world.lease("stopping")
    world.queue.release(lease.job.id, lease.token)
    other = world.lease("other")

    world.queue.release(lease.job.id, lease.token)

    assert world.queue.heartbeat(other.job.id, other.token, progress=None, activity=None).stop_requested is False
    world.queue.fail(other.job.id, other.token, reason="bad", retryable=False)
    with pytest.raises(LeaseLost):
        world.queue.release(other.job.id, other.token)


def test_bad_data_is_not_tried_again(world):
    job = world.import_job(world.dataset(world.group()))

    assert not fail(world, "films.csv, line 7: USER_ID is empty", retryable=False)

    import_row = world.resources.imports.describe(job)
    assert (import_row.status, import_row.failure_reason) == ("CREATE FAILED", "films.csv, line 7: USER_ID is empty")


def test_repeated_failure_report_gets_the_same_answer(world, version):
    lease = world.lease()
    first = world.queue.fail(lease.job.id, lease.token, reason="x", retryable=True)

    again = world.queue.fail(lease.job.id, lease.token, reason="x", retryable=True)

    assert first is again is True


def test_stop_before_the_start_ends_the_version_at_once(world, version):
    world.resources.versions.stop(version)

    assert world.resources.versions.describe(version).status == "CREATE STOPPED"
    assert world.lease() is None


def test_stop_of_a_running_version_reaches_the_worker(world, version):
    lease = world.lease()
    world.resources.versions.stop(version)
    assert world.resources.versions.describe(version).status == "CREATE STOPPING"

    assert world.queue.heartbeat(lease.job.id, lease.token, progress=None, activity=None).stop_requested
    world.queue.complete(lease.job.id, lease.token, kind=None, result=StoppedResult())

    assert world.resources.versions.describe(version).status == "CREATE STOPPED"


@pytest.mark.parametrize("end", ["result", "failure", "release", "silence"])
def test_however_a_stopping_attempt_ends_the_version_is_stopped(world, version, end):
    lease = world.lease()
    world.resources.versions.stop(version)

    if end == "result":
        world.complete(lease, {})
    elif end == "failure":
        world.queue.fail(lease.job.id, lease.token, reason="x", retryable=True)
    elif end == "release":
        world.queue.release(lease.job.id, lease.token)
    else:
        world.clock.advance(seconds=61)
        world.sweep()

    assert world.resources.versions.describe(version).status == "CREATE STOPPED"
    assert world.lease() is None


def test_stop_between_two_attempts_ends_the_version_at_once(world, version):
    fail(world, "the store is away")

    world.resources.versions.stop(version)

    assert world.resources.versions.describe(version).status == "CREATE STOPPED"
    world.clock.advance(seconds=60)
    assert world.lease() is None


def test_threads_that_lease_at_once_get_each_job_once(world):
    dataset = world.dataset(world.group())
    jobs = [world.import_job(dataset) for _ in range(12)]
    leased = []

    def work(name: str) -> None:
        while (lease := world.lease(name)) is not None:
            leased.append(lease.job.subject)

    threads = [threading.Thread(target=work, args=[f"trainer-{number}"]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(leased) == sorted(jobs)


def test_progress_is_kept_within_its_range(world, version):
    lease = world.lease()

    world.queue.heartbeat(lease.job.id, lease.token, progress=7.0, activity=None)

    assert world.metadata_store.view(lambda unit: unit.get(Job, lease.job.id).progress) == 1.0


def test_figures_of_epochs_go_with_the_epochs(world, version):
    lease = world.lease()

    def shown(**report):
        world.queue.heartbeat(lease.job.id, lease.token, progress=0.5, **report)
        return world.metadata_store.view(lambda unit: unit.get(Job, lease.job.id).training)

    assert shown(activity="epoch 3 of at most 9", training=TrainingProgress(epoch=3)) is not None
    assert shown(activity=None) is not None  # nothing new
    assert shown(activity="indexing") is None


def test_a_job_that_has_succeeded_shows_no_failure_of_an_attempt_before(world, version):
    def shown():
        (job,) = world.metadata_store.view(lambda unit: JobStatuses().list(unit, resource_arn=version, ended=True))
        return job.job.state, job.failure_reason

    fail(world, "the store is away")
    assert shown() == (JobState.WAITING, "the store is away")
    world.clock.advance(seconds=60)
    lease = world.lease()
    assert shown() == (JobState.LEASED, "the store is away")
    world.queue.complete(
        lease.job.id, lease.token, kind=JobKind.SOLUTION_VERSION_TRAINING, result=SolutionVersionTrainingResult()
    )
    assert shown() == (JobState.SUCCEEDED, None)


def test_transition_is_undone_when_its_resource_cannot_be_updated(world, version):
    lease = world.lease()
    world.metadata_store.transact(lambda unit: unit.remove(unit.get(SolutionVersion, version)))

    with pytest.raises(AssertionError):
        world.complete(lease, {})

    assert world.metadata_store.view(lambda unit: unit.get(Job, lease.job.id).state) == JobState.LEASED
