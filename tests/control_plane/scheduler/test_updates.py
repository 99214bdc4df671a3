"""Incremental updates in simulated time: when one is made, what it is told, what is served afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest
import structlog

from common.errors import ResourceInUse
from control_plane.domain.jobs import JobKind
from control_plane.domain.schedules import AutomaticTraining, Task
from control_plane.jobs.payloads import read_payload
from control_plane.metadata_store.tables import Job, Schedule
from protos.tailorbird.control.v1.solution_pb2 import UpdateSolutionRequest
from protos.tailorbird.internal.v1.jobs_pb2 import SolutionVersionUpdatePayload, StorageRemovalPayload
from tests.control_plane.world import EVERYTHING, avro, column, make_world

RECIPE = "arn:aws:personalize:::recipe/aws-semantic-similarity"
DESCRIBED = avro(
    "Items", column("ITEM_ID"), column("TITLE", itemName=True), column("PLOT", ["null", "string"], textual=True)
)
HALF_HOUR = 1800


def films(world, **more):
    """Return a solution with an ACTIVE version, and the dataset of its items."""
    group = world.group()
    dataset = world.dataset(group, "Items", DESCRIBED)
    bring_items(world, dataset)
    world.clock.advance(seconds=HALF_HOUR)  # after which these items are known to every training
    solution = world.solution(group, RECIPE, **more)
    world.version(solution)
    world.finish_next({"metrics": {}})
    return solution, dataset


def bring_items(world, dataset):
    world.import_job(dataset)
    world.finish_next({"imported_rows": 3, "files": 1})


def half_hours(world, number=1):
    for _ in range(number):
        world.clock.advance(seconds=HALF_HOUR)
        world.sweep()


def updates(world):
    """Return the payloads of the updates that wait."""
    jobs = world.metadata_store.view(
        lambda unit: unit.find(Job, kind=JobKind.SOLUTION_VERSION_UPDATE, state="WAITING", order=["created_at"])
    )
    return [read_payload(job, SolutionVersionUpdatePayload).training for job in jobs]


def newest(world, solution):
    return world.resources.solutions.describe(solution)[1]


def test_new_items_make_an_update_within_half_an_hour_and_its_artifact_is_served(world):
    solution, dataset = films(world)
    version = newest(world, solution)
    campaign = world.campaign(version.arn)
    world.serve("worker")
    revision = world.watch("worker")
    bring_items(world, dataset)

    half_hours(world)

    (update,) = updates(world)
    assert (update.training_mode, update.base_artifact_location) == ("UPDATE", version.artifact_location)
    assert (update.recipe, [table.dataset_type for table in update.tables]) == ("aws-semantic-similarity", ["ITEMS"])
    assert world.assigned()[campaign].artifact_location == version.artifact_location
    world.finish_next({"published": True, "artifact_bytes": 7})
    assert world.assigned()[campaign].artifact_location == update.artifact_location
    assert world.assigned()[campaign].deployment_id == world.resources.campaigns.describe(campaign).campaign.serving_id
    assert world.watch("worker") > revision
    after = newest(world, solution)
    assert (after.arn, after.status, after.artifact_bytes) == (version.arn, version.status, 7)
    assert len(world.resources.versions.list(EVERYTHING, solution_arn=solution).items) == 1


def test_the_next_update_begins_from_the_one_before(world):
    solution, dataset = films(world)
    bring_items(world, dataset)
    half_hours(world)
    (first,) = updates(world)
    world.finish_next({"published": True})
    bring_items(world, dataset)

    half_hours(world)

    (second,) = updates(world)
    assert second.base_artifact_location == first.artifact_location
    assert second.artifact_location != first.artifact_location
    assert second.solution_version_arn == newest(world, solution).arn


def test_without_new_items_nothing_is_done(world):
    solution, dataset = films(world)
    half_hours(world, 10)
    assert updates(world) == []
    bring_items(world, dataset)
    half_hours(world)
    world.finish_next({"published": False})
    before = world.watch("worker")

    half_hours(world, 10)

    assert updates(world) == []
    assert world.watch("worker") == before
    assert newest(world, solution).updated_artifact_location is None


def test_items_that_are_put_count(world):
    _, dataset = films(world)
    half_hours(world)
    assert updates(world) == []
    world.resources.trackers.note_rows([world.resources.datasets.describe(dataset).location])

    half_hours(world)

    assert len(updates(world)) == 1


def test_one_update_at_a_time_and_a_failed_one_is_tried_again(world):
    _, dataset = films(world)
    bring_items(world, dataset)
    half_hours(world, 3)
    assert len(updates(world)) == 1
    lease = world.lease()
    with structlog.testing.capture_logs() as logs:
        world.queue.fail(lease.job.id, lease.token, reason="no texts", retryable=False)
    assert [entry["job_id"] for entry in logs if entry["event"] == "version_not_updated"] == [lease.job.id]

    half_hours(world)

    assert len(updates(world)) == 1


def test_only_the_latest_version_is_updated(world):
    solution, dataset = films(world)
    bring_items(world, dataset)
    half_hours(world)
    world.finish_next({"published": True})
    world.version(solution)
    world.finish_next({"metrics": {}})
    version = newest(world, solution)
    bring_items(world, dataset)

    half_hours(world)

    (update,) = updates(world)
    assert (update.solution_version_arn, update.base_artifact_location) == (version.arn, version.artifact_location)


def test_a_solution_without_a_version_waits(world):
    group = world.group()
    bring_items(world, world.dataset(group, "Items", DESCRIBED))
    world.solution(group, RECIPE)
    with structlog.testing.capture_logs() as logs:
        half_hours(world, 4)
    assert updates(world) == []
    assert [entry for entry in logs if "postponed" in entry["event"]] == []


def test_updates_can_be_switched_off_and_on(world):
    solution, dataset = films(world, perform_incremental_update=False)
    bring_items(world, dataset)
    half_hours(world, 3)
    assert updates(world) == []

    world.resources.solutions.update(UpdateSolutionRequest(solution_arn=solution, perform_incremental_update=True))
    half_hours(world)
    assert len(updates(world)) == 1
    assert newest(world, solution).perform_incremental_update
    world.finish_next({"published": True})
    world.resources.solutions.update(UpdateSolutionRequest(solution_arn=solution, perform_incremental_update=False))
    bring_items(world, dataset)
    half_hours(world, 3)

    assert updates(world) == []


def test_the_schedule_survives_restarts_and_the_interval_is_a_setting(tmp_path):
    often = AutomaticTraining(update_every=timedelta(minutes=10))
    world = make_world(tmp_path, automatic_training=often)
    _, dataset = films(world)
    bring_items(world, dataset)
    world.metadata_store.close()
    numbers, world = world.numbers, make_world(tmp_path, clock=world.clock, automatic_training=often)
    world.numbers = numbers
    world.clock.advance(seconds=599)
    world.sweep()
    assert updates(world) == []
    world.clock.advance(seconds=1)
    world.sweep()
    assert len(updates(world)) == 1
    world.metadata_store.close()
    world = make_world(tmp_path, clock=world.clock, automatic_training=often)

    world.finish_next({"published": True})

    assert updates(world) == []
    world.metadata_store.close()


def test_deleting_a_solution_ends_its_updates_and_removes_what_they_published(world):
    solution, dataset = films(world)
    bring_items(world, dataset)
    half_hours(world)
    version = newest(world, solution)
    lease = world.lease()
    with pytest.raises(ResourceInUse, match="is being updated"):
        world.resources.solutions.delete(solution)
    world.complete(lease, {"published": True})
    bring_items(world, dataset)
    half_hours(world)
    assert len(updates(world)) == 1

    world.resources.solutions.delete(solution)

    assert updates(world) == []
    assert world.metadata_store.view(lambda unit: unit.count(Schedule, limit=9, task=Task.UPDATE)) == 0
    removal = read_payload(world.lease().job, StorageRemovalPayload)
    assert list(removal.locations) == [version.artifact_location, f"{version.artifact_location}-updates"]
