"""What blocks a deletion, and how deletions end."""

from __future__ import annotations

import pytest

from common.errors import ResourceInUse, ResourceNotFound
from tests.control_plane.resources.test_batch_jobs import inference_request
from tests.control_plane.world import EVERYTHING


def a_group(world):
    return world.group(), world.resources.dataset_groups


def group_with_dataset(world):
    group = world.group()
    world.dataset(group)
    return group, world.resources.dataset_groups


def group_with_solution(world):
    group = world.group()
    world.solution(group)
    return group, world.resources.dataset_groups


def group_with_tracker(world):
    group = world.group()
    world.resources.trackers.create("tracker", dataset_group_arn=group)
    return group, world.resources.dataset_groups


def schema_of_a_dataset(world):
    dataset = world.dataset(world.group())
    return world.resources.datasets.describe(dataset).schema_arn, world.resources.schemas


def dataset_being_imported(world):
    dataset = world.dataset(world.group())
    world.import_job(dataset)
    return dataset, world.resources.datasets


def dataset_being_trained_on(world):
    group = world.imported_group()
    world.version(world.solution(group))
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    return dataset.arn, world.resources.datasets


def dataset_in_a_batch_job(world):
    version = world.active_version()
    world.resources.batch_inference.create(inference_request(version))
    group = world.resources.versions.describe(version).dataset_group_arn
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    return dataset.arn, world.resources.datasets


def dataset_being_deleted(world):
    dataset = world.dataset(world.group())
    world.resources.datasets.delete(dataset)
    return dataset, world.resources.datasets


def solution_in_training(world):
    solution = world.solution(world.imported_group())
    world.version(solution)
    return solution, world.resources.solutions


def solution_being_stopped(world):
    solution, solutions = solution_in_training(world)
    world.lease()
    (version,) = world.resources.versions.list(EVERYTHING, solution_arn=solution).items
    world.resources.versions.stop(version.arn)
    return solution, solutions


def solution_in_service(world):
    campaign = world.active_campaign()
    return world.resources.campaigns.describe(campaign).campaign.solution_arn, world.resources.solutions


def solution_being_deleted(world):
    version = world.resources.versions.describe(world.active_version())
    world.resources.solutions.delete(version.solution_arn)
    return version.solution_arn, world.resources.solutions


def campaign_being_updated(world):
    campaign = world.active_campaign()
    world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    return campaign, world.resources.campaigns


def campaign_being_deleted(world):
    campaign = world.active_campaign()
    world.resources.campaigns.delete(campaign)
    return campaign, world.resources.campaigns


BLOCKED = [
    group_with_dataset,
    group_with_solution,
    group_with_tracker,
    schema_of_a_dataset,
    dataset_being_imported,
    dataset_being_trained_on,
    dataset_in_a_batch_job,
    dataset_being_deleted,
    solution_in_training,
    solution_being_stopped,
    solution_in_service,
    solution_being_deleted,
    campaign_being_updated,
    campaign_being_deleted,
]


@pytest.mark.parametrize("prepare", BLOCKED, ids=lambda prepare: prepare.__name__)
def test_resource_in_use_cannot_be_deleted(world, prepare):
    arn, operations = prepare(world)

    with pytest.raises(ResourceInUse, match="got arn"):
        operations.delete(arn)

    operations.describe(arn)


def test_empty_group_is_gone_at_once(world):
    group, groups = a_group(world)

    groups.delete(group)

    with pytest.raises(ResourceNotFound):
        groups.describe(group)


def test_unused_schema_is_gone_at_once(world):
    schema, schemas = schema_of_a_dataset(world)
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=None).items
    world.resources.datasets.delete(dataset.arn)
    world.finish_next({"removed_objects": 3})

    schemas.delete(schema)

    with pytest.raises(ResourceNotFound):
        schemas.describe(schema)


def test_dataset_is_gone_with_its_imports_when_its_table_is_removed(world):
    group = world.imported_group()
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.resources.datasets.delete(dataset.arn)
    assert world.resources.datasets.describe(dataset.arn).status == "DELETE PENDING"

    lease = world.lease()
    assert world.resources.datasets.describe(dataset.arn).status == "DELETE IN_PROGRESS"
    world.complete(lease, {"removed_objects": 3})

    with pytest.raises(ResourceNotFound):
        world.resources.datasets.describe(dataset.arn)
    assert world.resources.imports.list(EVERYTHING, dataset_arn=None).items == []


def test_deleted_dataset_is_not_trained_on(world):
    group = world.imported_group()
    solution = world.solution(group)
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.resources.datasets.delete(dataset.arn)

    with pytest.raises(Exception, match="an Interactions dataset"):
        world.version(solution)


def test_batch_jobs_of_other_groups_do_not_keep_a_dataset(world):
    world.resources.batch_inference.create(inference_request(world.active_version()))
    dataset = world.dataset(world.group())

    world.resources.datasets.delete(dataset)

    assert world.resources.datasets.describe(dataset).status == "DELETE PENDING"


def test_solution_is_gone_with_its_versions_when_their_artifacts_are_removed(world):
    version = world.resources.versions.describe(world.active_version())
    world.resources.solutions.delete(version.solution_arn)

    lease = world.lease()
    assert lease.job.payload["locations"] == [version.artifact_location]
    world.complete(lease, {"removed_objects": 9})

    with pytest.raises(ResourceNotFound):
        world.resources.solutions.describe(version.solution_arn)
    with pytest.raises(ResourceNotFound):
        world.resources.versions.describe(version.arn)


def test_solution_without_versions_is_gone_at_once(world):
    solution = world.solution(world.group())

    world.resources.solutions.delete(solution)

    with pytest.raises(ResourceNotFound):
        world.resources.solutions.describe(solution)


def test_storage_that_cannot_be_removed_does_not_hold_the_resource(world):
    dataset = world.dataset(world.group())
    world.resources.datasets.delete(dataset)
    lease = world.lease()

    world.queue.fail(lease.job.id, lease.token, reason="the store refuses", retryable=False)

    with pytest.raises(ResourceNotFound):
        world.resources.datasets.describe(dataset)


def test_campaign_is_gone_when_no_live_worker_serves_it(world):
    campaign = world.active_campaign()
    world.resources.campaigns.delete(campaign)
    world.sweep()
    assert world.resources.campaigns.describe(campaign).campaign.status == "DELETE IN_PROGRESS"

    revision = world.watch("worker")
    world.watch("worker", revision)

    with pytest.raises(ResourceNotFound):
        world.resources.campaigns.describe(campaign)


def test_campaign_is_gone_when_its_workers_are(world):
    campaign = world.active_campaign()
    world.resources.campaigns.delete(campaign)
    world.clock.advance(seconds=31)

    world.sweep()

    with pytest.raises(ResourceNotFound):
        world.resources.campaigns.describe(campaign)


def test_whole_group_can_be_taken_down_in_the_documented_order(world):
    campaign = world.active_campaign()
    solution = world.resources.campaigns.describe(campaign).campaign.solution_arn
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    tracker = world.resources.trackers.create("tracker", dataset_group_arn=group).arn
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items

    world.resources.campaigns.delete(campaign)
    world.serve("worker")
    world.resources.solutions.delete(solution)
    world.finish_next({"removed_objects": 1})
    world.resources.trackers.delete(tracker)
    world.resources.datasets.delete(dataset.arn)
    world.finish_next({"removed_objects": 1})
    world.resources.schemas.delete(dataset.schema_arn)
    world.resources.dataset_groups.delete(group)

    assert world.resources.dataset_groups.list(EVERYTHING).items == []
