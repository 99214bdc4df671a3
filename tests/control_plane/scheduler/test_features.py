"""Snapshots of features: when they are due, one at a time for each dataset, and what runtimes are told of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from common.errors import LeaseLost
from control_plane.domain.jobs import JobKind
from control_plane.jobs.payloads import read_payload
from control_plane.jobs.queue import MAX_ATTEMPTS
from control_plane.metadata_store.tables import Dataset, Job
from protos.tailorbird.internal.v1.jobs_pb2 import FeatureSnapshotPayload
from tests.control_plane.world import INTERACTIONS, ITEMS, TIMING, avro, column, make_world

KIND = JobKind.FEATURE_SNAPSHOT
AFTER = 60
MORE_ITEMS = avro(
    "Items", column("ITEM_ID"), column("GENRES", ["null", "string"], categorical=True), column("YEAR", ["null", "int"])
)
IMPORTED = {"imported_rows": 5, "files": 1}


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path, timing=replace(TIMING, feature_snapshot_seconds=AFTER, max_feature_snapshots=3))
    yield made
    made.metadata_store.close()


@pytest.fixture
def items(world):
    return world.dataset(world.group(), "Items", ITEMS)


def import_rows(world, dataset):
    world.import_job(dataset)
    world.complete(world.lease("trainer", JobKind.DATASET_IMPORT), IMPORTED)


def stream_rows(world, dataset):
    world.resources.trackers.note_rows([world.resources.datasets.describe(dataset).location])


def jobs(world, **where):
    return world.metadata_store.view(lambda unit: unit.find(Job, kind=KIND, order=["created_at", "id"], **where))


def location(world, dataset, version):
    return f"{world.resources.datasets.describe(dataset).location}-features/{version}"


def finish(world, dataset, version):
    """Make the snapshot that is due."""
    result = {"location": location(world, dataset, version), "version": version, "rows": 5, "bytes": 500}
    world.complete(world.lease("trainer", KIND), result)


@pytest.mark.parametrize(
    ("kind", "schema", "is_made"),
    [
        ("Items", ITEMS, True),
        ("Users", avro("Users", column("USER_ID"), column("AGE", ["null", "int"])), True),
        ("Actions", avro("Actions", column("ACTION_ID"), column("PRICE", ["null", "float"])), True),
        ("Interactions", INTERACTIONS, False),
    ],
)
def test_an_import_is_followed_by_a_snapshot_at_once(world, kind, schema, is_made):
    dataset = world.dataset(world.group(), kind, schema)
    world.sweep()
    assert not jobs(world)

    import_rows(world, dataset)
    world.sweep()
    world.sweep()

    assert [job.subject for job in jobs(world)] == ([dataset] if is_made else [])


def test_a_job_has_the_schema_of_when_it_begins(world, items):
    import_rows(world, items)
    world.sweep()
    more = world.resources.schemas.create("more", MORE_ITEMS).arn
    world.metadata_store.transact(lambda unit: setattr(unit.get(Dataset, items), "schema_arn", more))

    payload = read_payload(world.lease("trainer", KIND).job, FeatureSnapshotPayload)

    assert payload.table.location == world.resources.datasets.describe(items).location
    assert (payload.table.dataset_type, payload.table.schema, payload.streamed) == ("ITEMS", MORE_ITEMS, False)


def test_streamed_rows_are_followed_by_a_snapshot_after_a_while_whatever_comes_meanwhile(world, items):
    stream_rows(world, items)
    for _ in range(AFTER // 20 - 1):
        world.clock.advance(seconds=20)
        stream_rows(world, items)
        world.sweep()
    assert not jobs(world)

    world.clock.advance(seconds=20)
    world.sweep()

    (job,) = jobs(world)
    assert read_payload(job, FeatureSnapshotPayload).streamed


def test_after_a_snapshot_that_took_long_streamed_rows_wait_longer_and_imports_do_not(world, items):
    import_rows(world, items)
    world.sweep()
    lease = world.lease("trainer", KIND)
    world.clock.advance(seconds=20)
    result = {"location": location(world, items, 1), "version": 1, "rows": 5, "bytes": 500}
    world.complete(lease, result)
    stream_rows(world, items)
    world.clock.advance(seconds=9 * 20 - 1)
    world.sweep()
    assert not jobs(world, state="WAITING")

    world.clock.advance(seconds=1)
    world.sweep()
    assert len(jobs(world, state="WAITING")) == 1

    finish(world, items, 2)
    stream_rows(world, items)
    import_rows(world, items)
    world.sweep()
    assert len(jobs(world, state="WAITING")) == 1


def test_rows_that_come_after_a_job_was_submitted_have_a_snapshot_of_their_own(world, items):
    import_rows(world, items)
    world.sweep()
    stream_rows(world, items)
    finish(world, items, 1)
    world.sweep()
    assert not jobs(world, state="WAITING")

    world.clock.advance(seconds=AFTER)
    world.sweep()

    assert len(jobs(world, state="WAITING")) == 1


def test_a_dataset_never_has_two_jobs_at_once(world, items):
    import_rows(world, items)
    world.sweep()
    lease = world.lease("trainer", KIND)
    import_rows(world, items)
    world.sweep()
    assert len(jobs(world)) == 1

    world.complete(lease, {"location": location(world, items, 1), "version": 1})
    world.sweep()

    assert sorted(job.state for job in jobs(world)) == ["SUCCEEDED", "WAITING"]


def test_jobs_are_bounded_and_the_longest_due_come_first(world):
    group_items = [world.dataset(world.group(), "Items", ITEMS) for _ in range(5)]
    for dataset in group_items:
        world.clock.advance(seconds=1)
        stream_rows(world, dataset)
    world.clock.advance(seconds=AFTER)

    world.sweep()
    assert {job.subject for job in jobs(world)} == set(group_items[:3])
    world.finish_next({})
    world.sweep()
    assert len(jobs(world, state="WAITING")) == 3
    assert {job.subject for job in jobs(world)} == set(group_items[:4])


def test_two_control_planes_submit_one_job(world, items):
    import_rows(world, items)
    world.sweep()
    scheduler = world.plane.maintenance._features

    world.metadata_store.transact(lambda unit: scheduler._submit(unit, arn=items))

    assert len(jobs(world)) == 1


def test_runtimes_are_told_of_a_new_snapshot_and_of_nothing_when_it_is_the_same(world):
    campaign = world.active_campaign()
    solution = world.resources.campaigns.describe(campaign).campaign.solution_arn
    items = world.dataset(world.resources.solutions.describe(solution)[0].dataset_group_arn, "Items", ITEMS)
    import_rows(world, items)
    world.sweep()
    before = watched(world)

    finish(world, items, 7)

    after = watched(world)
    assert after.revision > before.revision
    assert [dataset.features_location for dataset in after.groups[0].datasets] == [None, location(world, items, 7)]
    assert after.assignments == before.assignments

    import_rows(world, items)
    world.sweep()
    finish(world, items, 7)
    assert watched(world) == after


def watched(world):
    return asyncio.run(world.assignment_service.watch("worker", None, wait_seconds=0))


def test_a_table_without_rows_has_no_snapshot(world, items):
    import_rows(world, items)
    world.sweep()
    world.finish_next({})
    assert world.resources.datasets.describe(items).features_location is None


def test_a_failed_job_is_tried_again_and_fails_no_import(world, items):
    import_rows(world, items)
    world.sweep()
    for _ in range(MAX_ATTEMPTS):
        lease = world.lease("trainer", KIND)
        world.queue.fail(lease.job.id, lease.token, reason="no disk", retryable=True)
        world.clock.advance(seconds=AFTER)
    world.sweep()
    assert [job.state for job in jobs(world)] == ["FAILED"]

    world.clock.advance(seconds=15 * 60)
    world.sweep()

    assert [job.state for job in jobs(world)] == ["FAILED", "WAITING"]
    (imported,) = world.metadata_store.view(lambda unit: unit.find(Job, kind=JobKind.DATASET_IMPORT))
    assert imported.state == "SUCCEEDED"


def test_a_wider_schema_takes_the_place_of_the_one_that_a_job_reads(world, items):
    import_rows(world, items)
    world.sweep()
    lease = world.lease("trainer", KIND)

    world.resources.datasets.update(items, schema_arn=world.resources.schemas.create("more", MORE_ITEMS).arn)
    assert world.queue.heartbeat(lease.job.id, lease.token, progress=None, activity=None).stop_requested
    world.queue.complete(lease.job.id, lease.token, kind=None, result=None)
    world.sweep()

    assert sorted(job.state for job in jobs(world)) == ["STOPPED", "WAITING"]
    assert read_payload(world.lease("trainer", KIND).job, FeatureSnapshotPayload).table.schema == MORE_ITEMS


def test_snapshots_are_made_again_when_users_were_deleted(world):
    group = world.group()
    users = world.dataset(group, "Users", avro("Users", column("USER_ID"), column("AGE", ["null", "int"])))
    import_rows(world, users)
    world.sweep()
    finish(world, users, 1)

    for outcome in ("succeeded", "failed"):
        world.resources.deletions.create(
            world.name("deletion"),
            dataset_group_arn=group,
            role_arn="arn:aws:iam::000000000000:role/personalize",
            data_location="s3://bucket/users.csv",
        )
        lease = world.lease("trainer", JobKind.DATA_DELETION)
        if outcome == "succeeded":
            world.complete(lease, {"deleted_rows": 1})
        else:
            world.queue.fail(lease.job.id, lease.token, reason="no such file", retryable=False)
        world.sweep()
        (job,) = jobs(world, state="WAITING")
        assert job.subject == users
        finish(world, users, 2)


def test_the_table_of_a_deleted_dataset_is_removed_with_its_snapshots_once_none_is_being_made(world, items):
    import_rows(world, items)
    world.sweep()
    lease = world.lease("trainer", KIND)
    table = world.resources.datasets.describe(items).location

    world.resources.datasets.delete(items)
    world.sweep()
    assert world.lease("trainer", JobKind.STORAGE_REMOVAL) is None
    world.queue.release(lease.job.id, lease.token)
    with pytest.raises(LeaseLost):
        world.queue.heartbeat(lease.job.id, lease.token, progress=None, activity=None)
    world.sweep()

    folder, _, name = table.rpartition("/")
    removal = world.lease("trainer", JobKind.STORAGE_REMOVAL)
    assert removal.job.payload["locations"] == [table, f"{folder}/features/{name}"]


def test_a_job_that_waits_keeps_no_dataset_from_being_deleted(world, items):
    import_rows(world, items)
    world.sweep()

    world.resources.datasets.delete(items)

    assert [job.state for job in jobs(world)] == ["STOPPED"]
    assert world.lease("trainer", JobKind.STORAGE_REMOVAL) is not None


def test_storage_is_maintained_while_snapshots_are_made(tmp_path):
    timing = replace(TIMING, max_feature_snapshots=3, storage_maintenance_hours=24)
    world = make_world(tmp_path, timing=timing)
    items = world.dataset(world.group(), "Items", ITEMS)
    import_rows(world, items)
    world.sweep()
    world.clock.advance(seconds=24 * 3600)

    world.sweep()

    assert world.lease("trainer", JobKind.STORAGE_MAINTENANCE) is not None
    world.metadata_store.close()
