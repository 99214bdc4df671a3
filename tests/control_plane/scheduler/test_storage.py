"""Storage maintenance is due once a day for each dataset group, and waits for the group's other jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.feature_folders import features_folder
from control_plane.domain.jobs import JobKind
from control_plane.jobs.payloads import read_payload
from control_plane.metadata_store.tables import Job, RemovedFolder
from protos.tailorbird.internal.v1.jobs_pb2 import StorageMaintenancePayload, StorageRemovalPayload
from tests.control_plane.scheduler.test_updates import films
from tests.control_plane.world import EVERYTHING, ITEMS, TIMING, make_world

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


def test_a_job_names_the_groups_folder_and_where_updates_publish(world):
    solution, _ = films(world)
    (version,) = world.resources.versions.list(EVERYTHING, solution_arn=solution).items
    start = world.plane.maintenance._storage._storage.start
    world.metadata_store.transact(lambda unit: start(unit, version.dataset_group_arn))

    payload = read_payload(jobs(world)[0], StorageMaintenancePayload)
    assert payload.group_folder == payload.table_locations[0].rpartition("/")[0]
    (updates,) = payload.updates
    assert updates.served_location == version.artifact_location
    assert updates.location.startswith(version.artifact_location)
    assert payload.report_hours == 720


def test_a_job_that_reached_a_bound_is_followed_by_another_soon(world):
    world.imported_group()
    a_day_later(world)
    world.finish_next({"incomplete": True})
    world.sweep()
    assert len(jobs(world)) == 1

    world.clock.advance(seconds=HOUR / 4)
    world.sweep()
    assert len(jobs(world)) == 2
    world.finish_next({})
    world.clock.advance(seconds=HOUR)
    world.sweep()
    assert len(jobs(world)) == 2


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


def removed_again(world):
    """Return the locations of the next removal job, which is leased."""
    lease = world.lease("trainer", JobKind.STORAGE_REMOVAL)
    return lease, None if lease is None else read_payload(lease.job, StorageRemovalPayload).locations


def deleted(world) -> list[str]:
    """Delete a dataset that was imported, all but its folders; return those."""
    dataset = world.dataset(world.group(), "Items", ITEMS)
    location = world.resources.datasets.describe(dataset).location
    world.resources.datasets.delete(dataset)
    world.sweep()
    return [location, features_folder(location)]


def days_later(world, days: int = 1) -> None:
    for _ in range(days):
        world.clock.advance(seconds=24 * HOUR)
        world.sweep()


def test_the_folder_of_a_deleted_resource_is_removed_once_more_for_who_wrote_late(world):
    folders = deleted(world)
    lease, locations = removed_again(world)
    assert locations == folders
    world.complete(lease, {"removed_objects": 3})
    days_later(world)
    assert removed_again(world) == (None, None)

    days_later(world)
    lease, locations = removed_again(world)
    assert locations == folders
    world.complete(lease, {})

    days_later(world, 5)
    assert removed_again(world) == (None, None)


def test_a_folder_that_had_to_be_left_behind_is_removed_as_soon_as_that_can_be(world):
    folders = deleted(world)
    for _ in range(3):
        lease, locations = removed_again(world)
        assert locations == folders
        world.queue.fail(lease.job.id, lease.token, reason="no store", retryable=False)
        days_later(world)

    lease, _ = removed_again(world)
    world.complete(lease, {"removed_objects": 3})
    days_later(world, 5)
    assert removed_again(world) == (None, None)


def test_nothing_goes_that_a_resource_names_or_that_the_database_never_named(world):
    version = world.resources.versions.describe(world.active_version())
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=version.dataset_group_arn).items
    named = (dataset.location, version.artifact_location, f"{version.artifact_location}-updates")
    now = world.clock.now()
    world.metadata_store.transact(
        lambda unit: [unit.add(RemovedFolder(location=at, deleted_at=now, due_at=now)) for at in named]
    )

    days_later(world, 5)

    assert removed_again(world) == (None, None)
    assert world.metadata_store.view(lambda unit: unit.find(RemovedFolder)) == []
