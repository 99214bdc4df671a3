"""What only grows is forgotten, and what is shown stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.metadata_store.tables import Deployment, Job, JobAttempt, ServingReport
from control_plane.pruning import KEPT_DEPLOYMENTS
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.dataset_export_job_pb2 import DatasetExportJobOutput
from tests.control_plane.world import ACCOUNT, EVERYTHING, TIMING, make_world

DAY = 24 * 3600
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Personalize"


@pytest.fixture
def world(tmp_path):
    timing = replace(TIMING, finished_job_hours=48, max_finished_jobs=5)
    made = make_world(tmp_path, timing=timing)
    yield made
    made.metadata_store.close()


@pytest.fixture
def dataset(world):
    return world.dataset(world.group())


def subjects(world):
    return {job.subject for job in world.metadata_store.view(lambda unit: unit.find(Job))}


def finished_import(world, dataset):
    job = world.import_job(dataset)
    world.finish_next({"imported_rows": 1, "files": 1})
    return job


def failed_import(world, dataset):
    job = world.import_job(dataset)
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="line 7 has no USER_ID", retryable=False)
    return job


def test_old_finished_jobs_are_removed_with_their_attempts(world, dataset):
    old = finished_import(world, dataset)
    world.clock.advance(seconds=DAY)
    young = finished_import(world, dataset)
    world.sweep()
    assert subjects(world) == {old, young}

    world.clock.advance(seconds=DAY + 60)
    world.sweep()

    assert subjects(world) == {young}
    assert world.metadata_store.view(lambda unit: unit.count(JobAttempt, limit=9)) == 1
    assert world.resources.imports.describe(old).status == "ACTIVE"


def test_no_more_than_the_newest_are_kept(world, dataset):
    jobs = []
    for _ in range(8):
        jobs.append(finished_import(world, dataset))
        world.clock.advance(seconds=60)
    world.sweep()

    assert subjects(world) == set(jobs[-5:])


def test_failed_job_is_kept_while_its_failure_is_shown_and_delays_no_other(world, dataset):
    failed = failed_import(world, dataset)
    done = finished_import(world, dataset)
    world.clock.advance(seconds=3 * DAY)
    world.sweep()

    assert subjects(world) == {failed}
    assert world.resources.imports.describe(failed).failure_reason == "line 7 has no USER_ID"
    assert world.resources.imports.describe(done).status == "ACTIVE"


def export(world, dataset):
    place = DatasetExportJobOutput(s3_data_destination=S3DataConfig(path="s3://results/"))
    return world.resources.exports.create("all", dataset_arn=dataset, role_arn=ROLE, job_output=place).arn


def deletion(world, dataset):
    group = world.resources.datasets.describe(dataset).dataset_group_arn
    return world.resources.deletions.create(
        "forget", dataset_group_arn=group, role_arn=ROLE, data_location="s3://lake/users.csv"
    ).arn


@pytest.mark.parametrize("create", [export, deletion])
def test_failures_of_jobs_of_all_kinds_are_shown(world, dataset, create):
    failed = create(world, dataset)
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="no access", retryable=False)
    world.clock.advance(seconds=3 * DAY)

    world.sweep()

    assert subjects(world) == {failed}


def test_failed_job_is_removed_when_its_failure_is_no_longer_shown(world, dataset):
    failed_import(world, dataset)
    world.resources.datasets.delete(dataset)
    world.sweep()
    world.finish_next({})
    assert world.resources.datasets.list(EVERYTHING, dataset_group_arn=None).items == []

    world.clock.advance(seconds=3 * DAY)
    world.sweep()

    assert subjects(world) == set()


def test_jobs_that_wait_or_run_stay_however_old_they_are(world, dataset):
    running, waiting_job = world.import_job(dataset), world.import_job(dataset)
    world.lease()
    world.clock.advance(seconds=10 * DAY)
    world.sweep()

    assert subjects(world) == {running, waiting_job}


def test_a_finished_job_keeps_no_payload(world, dataset):
    finished_import(world, dataset)
    failed_import(world, dataset)
    version = world.version(world.solution(world.imported_group()))
    world.resources.versions.stop(version)

    jobs = world.metadata_store.view(lambda unit: unit.find(Job))
    assert [job.payload for job in jobs] == [{}] * 4


def test_reasons_of_any_length_are_kept_in_part(world, dataset):
    job = world.import_job(dataset)
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="x" * 100_000, retryable=False)

    assert world.resources.imports.describe(job).failure_reason == "x" * 4000


def test_a_campaign_keeps_its_newest_configurations_and_what_it_serves(world):
    campaign = world.active_campaign()

    def fail_newest(unit) -> None:
        unit.first(Deployment, target_arn=campaign, order=["-number"]).status = "CREATE FAILED"

    def report_failure(unit) -> str:
        tried = unit.first(Deployment, target_arn=campaign, number=5)
        unit.add(ServingReport(runtime_id="worker", deployment_id=tried.id, phase="FAILED"))
        return tried.id

    (served,) = world.metadata_store.view(lambda unit: unit.find(Deployment, target_arn=campaign))
    for _ in range(KEPT_DEPLOYMENTS + 20):
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
        world.metadata_store.transact(fail_newest)
    tried = world.metadata_store.transact(report_failure)

    world.clock.advance(seconds=60)
    world.plane.maintenance._pruner.prune()

    kept = world.metadata_store.view(lambda unit: unit.find(Deployment, target_arn=campaign, order=["number"]))
    assert world.metadata_store.view(lambda unit: unit.count(ServingReport, limit=9, deployment_id=tried)) == 0
    assert [kept[0].id, len(kept)] == [served.id, KEPT_DEPLOYMENTS + 1]
    assert kept[-1].number == KEPT_DEPLOYMENTS + 21
    assert world.resources.campaigns.describe(campaign).serving.id == served.id
