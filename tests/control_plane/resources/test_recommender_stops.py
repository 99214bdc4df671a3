"""How recommenders are stopped, started and deleted, and when they are trained meanwhile."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceInUse, ResourceNotFound
from control_plane.domain.jobs import JobKind
from control_plane.metadata_store.tables import Deployment, Job, Recommender, Schedule, Solution, SolutionVersion
from control_plane.serving.reconciler import Phase
from tests.control_plane.resources.recommenders import (
    BRAND_LEFT_OUT,
    active,
    assigned,
    described,
    rows,
    shop,
    stopped,
    update_of,
    versions_of,
)
from tests.control_plane.world import EVERYTHING


def test_a_stopped_recommender_is_dropped_and_started_again_without_a_training(world):
    recommender = world.active_recommender()
    served = assigned(world)[recommender]

    world.resources.recommenders.stop(recommender)
    assert world.recommender_status(recommender) == "STOP PENDING"
    assert recommender not in assigned(world)
    world.sweep()
    assert world.recommender_status(recommender) == "STOP IN_PROGRESS"
    world.serve("worker")
    world.sweep()
    assert world.recommender_status(recommender) == "INACTIVE"
    assert assigned(world) == {}

    world.resources.recommenders.start(recommender)
    assert world.recommender_status(recommender) == "START PENDING"
    again = assigned(world)[recommender]
    assert (again.solution_version_arn, again.active) == (served.solution_version_arn, False)
    world.serve("worker", Phase.LOADING)
    assert world.recommender_status(recommender) == "START IN_PROGRESS"
    world.serve("worker")

    assert world.recommender_status(recommender) == "ACTIVE"
    assert assigned(world)[recommender].active
    assert len(versions_of(world, recommender)) == 1
    assert update_of(world, recommender) is None


def test_reports_from_before_a_stop_do_not_start_a_recommender(world):
    recommender = world.active_recommender()
    world.resources.recommenders.stop(recommender)
    # The worker has heard of it, and its report of what it serves is late.
    world.watch("worker", world.watch("worker"))
    world.sweep()
    assert world.recommender_status(recommender) == "INACTIVE"

    world.resources.recommenders.start(recommender)
    world.sweep()

    assert world.recommender_status(recommender) == "START PENDING"


def test_a_recommender_that_cannot_be_loaded_again_says_why_until_it_is(world):
    recommender = stopped(world)
    world.resources.recommenders.start(recommender)

    world.serve("worker", Phase.FAILED, "damaged")
    row = described(world, recommender).recommender
    assert (row.status, row.failure_reason) == (
        "START IN_PROGRESS",
        "1 of 1 runtime workers could not load it: damaged",
    )
    world.serve("worker")

    row = described(world, recommender).recommender
    assert (row.status, row.failure_reason) == ("ACTIVE", None)


def test_only_what_serves_is_stopped_and_only_what_is_stopped_is_started(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    operations = world.resources.recommenders

    with pytest.raises(ResourceInUse, match="which is CREATE PENDING, want ACTIVE"):
        operations.stop(recommender)
    with pytest.raises(ResourceInUse, match="which is CREATE PENDING, want INACTIVE"):
        operations.start(recommender)
    with pytest.raises(ResourceInUse, match="which is CREATE PENDING, want ACTIVE or INACTIVE or CREATE FAILED"):
        world.update_recommender(recommender, minRecommendationRequestsPerSecond=2)
    with pytest.raises(ResourceNotFound):
        operations.stop(f"{recommender}-other")
    with pytest.raises(InvalidInput, match="`recommenderArn`"):
        operations.start(recommender.replace(":recommender/", ":campaign/"))


def test_a_stopped_recommender_is_updated_for_its_next_start(world):
    recommender = stopped(world)

    world.update_recommender(recommender, minRecommendationRequestsPerSecond=7)

    assert update_of(world, recommender) == ("ACTIVE", None)
    assert world.recommender_status(recommender) == "INACTIVE"
    assert described(world, recommender).serving.min_provisioned_tps == 7
    assert assigned(world) == {}


def test_a_stopped_recommender_is_trained_for_its_next_start(world):
    recommender = active(world, shop(world))
    world.resources.recommenders.stop(recommender)
    world.serve("worker")
    world.sweep()
    world.clock.advance(seconds=1)
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    with pytest.raises(ResourceInUse, match="await its end"):
        world.resources.recommenders.start(recommender)

    world.finish_next({"metrics": {"coverage": 0.75}})

    assert update_of(world, recommender) == ("ACTIVE", None)
    assert world.recommender_status(recommender) == "INACTIVE"
    assert described(world, recommender).version.metrics == {"coverage": 0.75}
    world.resources.recommenders.start(recommender)
    world.serve("worker")
    assert assigned(world)[recommender].solution_version_arn == versions_of(world, recommender)[-1].arn
    assert world.recommender_status(recommender) == "ACTIVE"


def gone(world, recommender):
    with pytest.raises(ResourceNotFound):
        described(world, recommender)
    for table in (Recommender, Solution, SolutionVersion, Deployment):
        assert rows(world, table) == 0


def test_a_deleted_recommender_goes_when_runtimes_and_trainers_are_done(world):
    recommender = world.active_recommender()
    (version,) = versions_of(world, recommender)

    world.resources.recommenders.delete(recommender)
    assert world.recommender_status(recommender) == "DELETE PENDING"
    world.sweep()
    assert world.recommender_status(recommender) == "DELETE IN_PROGRESS"
    assert world.lease() is None
    world.serve("worker")
    world.sweep()
    world.sweep()
    assert world.recommender_status(recommender) == "DELETE IN_PROGRESS"
    with pytest.raises(ResourceInUse, match="which is DELETE IN_PROGRESS already"):
        world.resources.recommenders.delete(recommender)
    lease = world.lease()
    assert (lease.job.kind, lease.job.payload) == (JobKind.STORAGE_REMOVAL, {"locations": [version.artifact_location]})
    assert rows(world, Job, kind=JobKind.STORAGE_REMOVAL) == 1
    world.complete(lease, {})

    gone(world, recommender)


def test_a_deletion_stops_the_training(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    lease = world.lease()

    world.resources.recommenders.delete(recommender)
    world.sweep()
    assert world.lease() is None
    assert world.queue.heartbeat(lease.job.id, lease.token, progress=0.1, activity=None).stop_requested
    world.queue.fail(lease.job.id, lease.token, reason="stopped", retryable=False)
    world.sweep()
    world.finish_next({})

    gone(world, recommender)


def test_a_deletion_takes_back_a_training_that_waits(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))

    world.resources.recommenders.delete(recommender)
    world.sweep()
    world.finish_next({})

    gone(world, recommender)


def test_a_stopped_recommender_is_deleted(world):
    recommender = stopped(world)

    world.resources.recommenders.delete(recommender)
    world.serve("worker")
    world.sweep()
    world.finish_next({})

    gone(world, recommender)


def test_groups_and_datasets_stay_for_their_recommenders(world):
    group = world.imported_group("ECOMMERCE")
    recommender = world.recommender(group)
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items

    with pytest.raises(ResourceInUse, match=f"which {recommender}/[0-9a-f]+ is using"):
        world.resources.datasets.delete(dataset.arn)
    world.finish_next({"metrics": {}})
    with pytest.raises(ResourceInUse, match="which has 1 recommenders; delete them first"):
        world.resources.dataset_groups.delete(group)


def test_a_recommender_is_trained_every_week_while_it_is_active(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    assert rows(world, Schedule) == 0
    world.finish_next({"metrics": {}})
    world.serve("worker")
    assert rows(world, Schedule, solution_arn=recommender) == 1

    world.clock.advance(seconds=7 * 24 * 3600 - 1)
    world.sweep()
    assert world.lease() is None
    world.clock.advance(seconds=1)
    world.sweep()
    assert world.lease().job.subject == versions_of(world, recommender)[-1].arn


def test_a_stopped_recommender_is_not_trained_until_it_is_started(world):
    recommender = stopped(world)
    assert rows(world, Schedule) == 0

    world.resources.recommenders.start(recommender)

    assert rows(world, Schedule, solution_arn=recommender) == 1
    world.resources.recommenders.delete(recommender)
    assert rows(world, Schedule) == 0
