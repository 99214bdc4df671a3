"""Storage maintenance is due once a day for each dataset group, and waits for the group's other jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.domain.jobs import JobKind
from control_plane.jobs.payloads import read_payload
from control_plane.metadata_store.tables import Job
from protos.tailorbird.internal.v1.jobs_pb2 import StorageMaintenancePayload
from tests.control_plane.world import TIMING, make_world

HOUR = 3600
KIND = JobKind.STORAGE_MAINTENANCE


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path, timing=replace(TIMING, storage_maintenance_hours=24, storage_retention_hours=48))
    yield made
    made.metadata_store.close()


def jobs(world):
    return world.metadata_store.view(lambda unit: unit.find(Job, kind=KIND, order=["created_at"]))


def a_day_later(world):
    world.sweep()
    world.clock.advance(seconds=24 * HOUR)
    world.sweep()


def test_each_group_with_data_has_a_job_a_day(world):
    group = world.imported_group()
    world.group()
    a_day_later(world)
    world.sweep()
    assert [job.subject for job in jobs(world)] == [group]
    world.finish_next({"removed_objects": 1})

    world.clock.advance(seconds=23 * HOUR)
    world.sweep()
    assert len(jobs(world)) == 1
    world.clock.advance(seconds=HOUR)
    world.sweep()
    assert len(jobs(world)) == 2


def test_a_job_names_the_tables_and_the_artifacts_of_trainings_that_have_ended(world):
    version = world.active_version()
    a_day_later(world)

    (job,) = jobs(world)
    payload = read_payload(job, StorageMaintenancePayload)
    assert len(payload.table_locations) == 1
    assert payload.table_locations[0].startswith("datasets/")
    assert payload.artifact_locations == [world.resources.versions.describe(version).artifact_location]
    assert payload.retention_hours == 48


def test_a_group_whose_jobs_wait_or_run_is_maintained_later(world):
    group = world.imported_group()
    world.sweep()
    world.version(world.solution(group))
    world.clock.advance(seconds=24 * HOUR)
    world.sweep()
    assert not jobs(world)

    world.finish_next({"metrics": {}})
    world.sweep()
    assert not jobs(world)
    world.clock.advance(seconds=HOUR / 4)
    world.sweep()
    assert [job.subject for job in jobs(world)] == [group]


def test_a_failed_job_is_followed_by_the_next_days(world):
    world.imported_group()
    a_day_later(world)
    lease = world.lease("trainer", KIND)
    world.queue.fail(lease.job.id, lease.token, reason="no disk", retryable=False)
    world.clock.advance(seconds=24 * HOUR)
    world.sweep()
    assert [job.state for job in jobs(world)] == ["FAILED", "WAITING"]


def test_two_control_planes_submit_one_job(world):
    world.imported_group()
    a_day_later(world)
    scheduler = world.plane.maintenance._storage
    for job in jobs(world):
        world.metadata_store.transact(lambda unit, arn=job.subject: scheduler._run(unit, arn=arn))
    assert len(jobs(world)) == 1
