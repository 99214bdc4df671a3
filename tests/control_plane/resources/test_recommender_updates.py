"""Updates of recommenders, and the trainings that come by their schedules."""

from __future__ import annotations

import json

import pytest

from common.errors import InvalidInput, ResourceInUse
from tests.control_plane.messages import solution_config
from tests.control_plane.resources.recommenders import (
    BRAND_LEFT_OUT,
    FEW_EVENTS,
    SHOP_ITEMS,
    active,
    assigned,
    described,
    fail_next,
    retrain,
    shop,
    update_of,
    versions_of,
)
from tests.control_plane.world import EVERYTHING, avro, column


def test_a_rate_is_changed_without_a_training(world):
    recommender = world.active_recommender()

    world.update_recommender(recommender, minRecommendationRequestsPerSecond=5)
    assert update_of(world, recommender) == ("CREATE PENDING", None)
    assert world.recommender_status(recommender) == "ACTIVE"
    assert described(world, recommender).serving.min_provisioned_tps == 1
    world.serve("worker")

    assert update_of(world, recommender) == ("ACTIVE", None)
    assert described(world, recommender).serving.recommender_config.min_recommendation_requests_per_second == 5
    assert len(versions_of(world, recommender)) == 1


def test_other_columns_are_trained_on_while_the_old_ones_serve(world):
    recommender = active(world, shop(world))
    before = assigned(world)[recommender]

    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    assert update_of(world, recommender) == ("CREATE PENDING", None)
    lease = world.lease()
    columns = lease.job.payload["solution_config"]["training_data_config"]["excluded_dataset_columns"]
    assert columns == {"ITEMS": {"values": ["BRAND"]}}
    assert "predecessor" not in lease.job.payload
    assert update_of(world, recommender) == ("CREATE IN_PROGRESS", None)
    world.serve("worker")
    assert assigned(world)[recommender] == before
    world.complete(lease, {"metrics": {"coverage": 0.75}})
    world.clock.advance(seconds=1)
    assert assigned(world)[recommender].deployment_id != before.deployment_id
    assert described(world, recommender).version.metrics == {"coverage": 0.5}
    world.serve("worker")

    assert update_of(world, recommender) == ("ACTIVE", None)
    assert described(world, recommender).version.metrics == {"coverage": 0.75}
    assert world.recommender_status(recommender) == "ACTIVE"


def test_an_update_that_cannot_be_trained_changes_nothing_but_says_why(world):
    recommender = active(world, shop(world))
    before = assigned(world)[recommender]
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)

    fail_next(world, FEW_EVENTS)

    assert update_of(world, recommender) == ("CREATE FAILED", FEW_EVENTS)
    assert world.recommender_status(recommender) == "ACTIVE"
    assert assigned(world)[recommender] == before
    # What is trained by the schedule from now on is what is served, and not what failed.
    retrain(world, recommender, {"metrics": {}})
    assert versions_of(world, recommender)[-1].solution_config == solution_config({})


def test_what_is_trained_after_an_update_is_trained_like_it(world):
    recommender = active(world, shop(world))
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    world.finish_next({"metrics": {}})
    world.serve("worker")

    retrained = retrain(world, recommender, {"metrics": {}})

    assert versions_of(world, recommender)[-1].solution_config == solution_config(
        {"trainingDataConfig": BRAND_LEFT_OUT}
    )
    world.serve("worker")
    assert assigned(world)[recommender].solution_version_arn == retrained


def test_the_columns_of_before_are_not_served_after_an_update(world):
    recommender = active(world, shop(world))
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    lease = world.lease()
    # The schedule comes while the update is being trained.
    late = retrain(world, recommender, {"metrics": {}})
    world.complete(lease, {"metrics": {}})
    world.serve("worker")
    world.serve("worker")

    assert assigned(world)[recommender].solution_version_arn == lease.job.subject
    assert lease.job.subject != late


def test_a_recommender_moves_to_what_its_schedule_trains(world):
    recommender = world.active_recommender()

    retrained = retrain(world, recommender, {"metrics": {"coverage": 0.6}})
    world.serve("worker")
    world.serve("worker")

    assert assigned(world)[recommender].solution_version_arn == retrained
    assert described(world, recommender).version.metrics == {"coverage": 0.6}


def left_out(lease):
    return lease.job.payload["solution_config"].get("training_data_config", {}).get("excluded_dataset_columns", {})


def with_a_new_column(world, recommender):
    """Give the items of a recommender's dataset group a column COLOUR."""
    group = described(world, recommender).recommender.dataset_group_arn
    datasets = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    (items,) = (dataset for dataset in datasets if dataset.dataset_type == "ITEMS")
    fields = [*json.loads(SHOP_ITEMS)["fields"], column("COLOUR", ["null", "string"], categorical=True)]
    schema = world.resources.schemas.create(world.name("schema"), avro("Items", *fields), domain="ECOMMERCE")
    world.clock.advance(seconds=1)
    world.resources.datasets.update(items.arn, schema_arn=schema.arn)
    world.clock.advance(seconds=1)


def test_columns_that_come_later_are_learnt_from_after_an_update_that_names_columns(world):
    recommender = active(world, shop(world))
    with_a_new_column(world, recommender)

    world.update_recommender(recommender, minRecommendationRequestsPerSecond=2)
    world.serve("worker")
    assert world.lease() is None
    world.clock.advance(seconds=7 * 24 * 3600)
    world.sweep()
    lease = world.lease()
    assert left_out(lease) == {"ITEMS": {"values": ["COLOUR"]}}
    world.complete(lease, {"metrics": {}})
    world.sweep()
    world.serve("worker")

    world.update_recommender(recommender, trainingDataConfig={"excludedDatasetColumns": {}})
    lease = world.lease()
    assert left_out(lease) == {}
    world.complete(lease, {"metrics": {}})
    world.serve("worker")
    assert update_of(world, recommender) == ("ACTIVE", None)
    world.clock.advance(seconds=7 * 24 * 3600)
    world.sweep()
    assert left_out(world.lease()) == {}


def test_an_update_that_names_the_same_columns_trains_only_when_there_are_new_ones(world):
    recommender = active(world, shop(world))
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    world.finish_next({"metrics": {}})
    world.serve("worker")

    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    world.serve("worker")
    assert world.lease() is None
    with_a_new_column(world, recommender)
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)

    assert left_out(world.lease()) == {"ITEMS": {"values": ["BRAND"]}}


def test_what_was_trained_before_an_update_took_up_new_columns_is_not_served_after_it(world):
    recommender = active(world, shop(world))
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    world.finish_next({"metrics": {}})
    world.serve("worker")
    with_a_new_column(world, recommender)
    world.update_recommender(recommender, trainingDataConfig=BRAND_LEFT_OUT)
    lease = world.lease()
    # The schedule comes while the update is being trained.
    retrain(world, recommender, {"metrics": {}})
    world.complete(lease, {"metrics": {}})
    world.serve("worker")
    world.sweep()
    world.serve("worker")

    assert assigned(world)[recommender].solution_version_arn == lease.job.subject


def test_a_significantly_worse_training_is_refused(world):
    recommender = world.active_recommender()
    served = assigned(world)[recommender].solution_version_arn

    worse = retrain(
        world,
        recommender,
        {"evaluation": {"comparison": {"verdict": "VERDICT_WORSE", "reason": "significantly worse"}}},
    )
    world.serve("worker")

    assert assigned(world)[recommender].solution_version_arn == served
    assert update_of(world, recommender) == (
        "CREATE FAILED",
        f"refused: {worse} is significantly worse. The recommender serves {served}.",
    )


def test_a_recommender_whose_training_failed_is_trained_by_an_update(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    fail_next(world, FEW_EVENTS)

    world.update_recommender(recommender, minRecommendationRequestsPerSecond=2)
    world.finish_next({"metrics": {}})
    world.serve("worker")

    row = described(world, recommender).recommender
    assert (row.status, row.failure_reason) == ("ACTIVE", None)


def test_updates_come_one_at_a_time(world):
    recommender = world.active_recommender()
    world.update_recommender(recommender, minRecommendationRequestsPerSecond=2)

    for refused in (
        lambda: world.update_recommender(recommender, minRecommendationRequestsPerSecond=3),
        lambda: world.resources.recommenders.stop(recommender),
        lambda: world.resources.recommenders.delete(recommender),
    ):
        with pytest.raises(ResourceInUse, match="whose update is CREATE PENDING; await its end"):
            refused()


def test_an_update_is_checked_as_a_whole(world):
    recommender = world.active_recommender()

    with pytest.raises(InvalidInput, match="cannot be configured"):
        world.update_recommender(recommender, itemExplorationConfig={"explorationWeight": "0.1"})
    assert update_of(world, recommender) is None
