"""Recommenders: how they are created, updated, stopped, started and deleted, and what nobody sees of them."""

from __future__ import annotations

import pytest

from common.errors import (
    InvalidInput,
    LimitExceeded,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
)
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.tables import Deployment, Job, Recommender, Schedule, Solution, SolutionVersion
from control_plane.serving.assignments import assignment_set
from control_plane.serving.reconciler import Phase
from tests.control_plane.messages import solution_config
from tests.control_plane.world import (
    EVERYTHING,
    MOST_VIEWED,
    avro,
    column,
    make_world,
)

BEST_SELLERS = "arn:aws:personalize:::recipe/aws-ecomm-popular-items-by-purchases"
MORE_LIKE_X = "arn:aws:personalize:::recipe/aws-vod-more-like-x"
FEW_EVENTS = "Create failed. Dataset has fewer than 1000 interactions after filtering by event type: View. It has 7."
SHOP_ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("PRICE", "float"),
    column("CATEGORY_L1", categorical=True),
    column("BRAND", ["null", "string"], categorical=True),
)
BRAND_LEFT_OUT = {"excludedDatasetColumns": {"ITEMS": ["BRAND"]}}


def described(world, recommender):
    return world.resources.recommenders.describe(recommender)


def assigned(world):
    """Return the assignments by ARN, as no worker sees them."""
    return {item.serving_arn: item for item in world.metadata_store.view(assignment_set).assignments}


def update_of(world, recommender):
    update = described(world, recommender).latest_update
    return None if update is None else (update.status, update.failure_reason)


def shop(world):
    """Return a domain group with interactions and items."""
    group = world.imported_group("ECOMMERCE")
    world.import_job(world.dataset(group, "Items", SHOP_ITEMS))
    world.finish_next({"imported_rows": 10, "files": 1})
    return group


def active(world, group):
    recommender = world.recommender(group)
    world.finish_next({"metrics": {"coverage": 0.5}})
    world.serve("worker")
    return recommender


def fail_next(world, reason):
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason=reason, retryable=False)


def versions_of(world, recommender):
    order = ["creation_date_time", "arn"]
    return world.metadata_store.view(lambda unit: unit.find(SolutionVersion, solution_arn=recommender, order=order))


def rows(world, table, **where):
    return world.metadata_store.view(lambda unit: unit.count(table, **where))


def retrain(world, recommender, result):
    """Train a recommender as its schedule does."""
    world.clock.advance(seconds=1)
    versions = world.resources.versions._operations
    version = world.metadata_store.transact(
        lambda unit: versions.train(unit, unit.get(Solution, recommender), training_type="AUTOMATIC"),
        account=recommender.split(":")[4],
    )
    world.finish_next(result)
    return version.arn


def test_a_recommender_is_trained_and_then_served(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    assert world.recommender_status(recommender) == "CREATE PENDING"
    assert assigned(world) == {}

    lease = world.lease()
    assert lease.job.kind == JobKind.SOLUTION_VERSION_TRAINING
    assert lease.job.payload["recipe"] == "aws-ecomm-popular-items-by-views"
    assert world.recommender_status(recommender) == "CREATE IN_PROGRESS"
    revision = world.watch("worker")
    world.complete(lease, {"metrics": {"coverage": 0.5}})
    assert world.recommender_status(recommender) == "CREATE IN_PROGRESS"
    assert world.watch("worker", revision) > revision

    assert not assigned(world)[recommender].active
    world.serve("worker")
    assert world.recommender_status(recommender) == "ACTIVE"
    assert assigned(world)[recommender].active
    assert described(world, recommender).version.metrics == {"coverage": 0.5}
    assert update_of(world, recommender) is None


def test_a_training_without_enough_events_is_told(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))

    fail_next(world, FEW_EVENTS)

    row = described(world, recommender).recommender
    assert (row.status, row.failure_reason) == ("CREATE FAILED", FEW_EVENTS)
    assert assigned(world) == {}


def test_a_recommender_that_no_runtime_can_load_fails(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    world.finish_next({"metrics": {}})

    world.serve("worker", Phase.FAILED, "damaged")

    row = described(world, recommender).recommender
    assert (row.status, row.failure_reason) == (
        "CREATE FAILED",
        "1 of 1 runtime workers could not load it: damaged",
    )


def test_runtimes_have_time_to_load_from_the_end_of_the_training_on(world):
    recommender = world.recommender(world.imported_group("ECOMMERCE"))
    world.watch("slow")
    lease = world.lease()
    for _ in range(40):
        world.clock.advance(seconds=30)
        world.queue.heartbeat(lease.job.id, lease.token, progress=0.5, activity=None)
    world.complete(lease, {"metrics": {}})

    world.serve("slow", Phase.LOADING)
    assert world.recommender_status(recommender) == "CREATE IN_PROGRESS"
    world.serve("slow")

    assert world.recommender_status(recommender) == "ACTIVE"


@pytest.mark.parametrize(("domain", "recipe"), [(None, MOST_VIEWED), ("VIDEO_ON_DEMAND", MOST_VIEWED)])
def test_recommenders_are_for_groups_of_their_domain(world, domain, recipe):
    group = world.group(domain)

    with pytest.raises(InvalidInput, match="domain"):
        world.recommender(group, recipe)
    assert rows(world, Solution) == 0


def test_data_to_train_on_must_be_there(world):
    group = world.group("ECOMMERCE")
    with pytest.raises(InvalidInput, match=f"`datasetGroupArn`: got '{group}', want an Interactions dataset"):
        world.recommender(group)
    world.dataset(group)
    with pytest.raises(InvalidInput, match=r"`datasetGroupArn`: .*want interactions in .*: import some"):
        world.recommender(group)

    films = world.imported_group("VIDEO_ON_DEMAND")
    with pytest.raises(InvalidInput, match=f"`datasetGroupArn`: got '{films}', want an Items dataset"):
        world.recommender(films, MORE_LIKE_X)


def test_a_name_is_taken_once(world):
    group = world.imported_group("ECOMMERCE")
    named = {"dataset_group_arn": group, "recipe_arn": MOST_VIEWED}
    first = world.resources.recommenders.create("views", **named)

    with pytest.raises(ResourceAlreadyExists, match=f"^Another resource with Arn {first.arn} already exists"):
        world.resources.recommenders.create("views", **named)


def test_solutions_may_have_the_names_of_recommenders(world):
    group = world.imported_group("ECOMMERCE")
    world.resources.recommenders.create("views", dataset_group_arn=group, recipe_arn=MOST_VIEWED)
    world.numbers = iter(["views"])
    world.name = lambda word: "views"

    assert world.solution(group).endswith(":solution/views")


def test_groups_have_as_many_recommenders_as_they_may(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(recommenders_per_group=1, solutions_per_group=1))
    group = world.imported_group("ECOMMERCE")
    world.recommender(group)

    with pytest.raises(LimitExceeded, match="TAILORBIRD_MAX_RECOMMENDERS_PER_GROUP"):
        world.recommender(group)
    assert rows(world, SolutionVersion) == 1
    # What is below a recommender takes no place of a solution.
    assert world.solution(group)
    world.metadata_store.close()


def test_missing_data_are_named_before_a_full_group(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(recommenders_per_group=0))
    group = world.group("ECOMMERCE")

    with pytest.raises(InvalidInput, match="want an Interactions dataset"):
        world.recommender(group)
    world.metadata_store.close()


def test_columns_must_exist(world):
    group = shop(world)

    with pytest.raises(InvalidInput, match=r"`recommenderConfig\.trainingDataConfig\..*got 'COLOUR', want one of"):
        world.recommender(group, trainingDataConfig={"excludedDatasetColumns": {"ITEMS": ["COLOUR"]}})


def test_what_is_below_a_recommender_is_not_shown(world):
    group = world.imported_group("ECOMMERCE")
    solution = world.solution(group)
    version = world.version(solution)
    recommender = world.recommender(group)
    (hidden,) = versions_of(world, recommender)
    resources = world.resources

    assert [item.arn for item in resources.solutions.list(EVERYTHING, dataset_group_arn=group).items] == [solution]
    assert [item.arn for item in resources.solutions.list(EVERYTHING, dataset_group_arn=None).items] == [solution]
    assert [item.arn for item in resources.versions.list(EVERYTHING, solution_arn=None).items] == [version]
    for refused in (
        lambda: resources.solutions.describe(recommender),
        lambda: resources.solutions.delete(recommender),
        lambda: resources.versions.create(recommender),
        lambda: resources.versions.list(EVERYTHING, solution_arn=recommender),
        lambda: resources.versions.describe(hidden.arn),
        lambda: resources.versions.stop(hidden.arn),
        lambda: world.campaign(hidden.arn),
        lambda: world.campaign(f"{recommender}/$LATEST"),
        lambda: world.evaluations.get(hidden.arn),
    ):
        with pytest.raises(InvalidInput, match="want an ARN of a solution"):
            refused()


def test_trainings_of_recommenders_take_no_place_of_versions(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(pending_solution_versions=1))
    group = world.imported_group("ECOMMERCE")
    world.recommender(group)
    solution = world.solution(group)

    assert world.version(solution)
    with pytest.raises(LimitExceeded):
        world.version(solution)
    world.metadata_store.close()


def test_recommenders_are_listed_with_what_they_serve(world):
    group, other = world.imported_group("ECOMMERCE"), world.imported_group("ECOMMERCE")
    first = world.recommender(group, minRecommendationRequestsPerSecond=3)
    world.clock.advance(seconds=1)
    second = world.recommender(other)

    page, shown = world.resources.recommenders.list(EVERYTHING, dataset_group_arn=None)
    assert [item.arn for item in page.items] == [first, second]
    assert shown[first].recommender_config.min_recommendation_requests_per_second == 3
    assert shown[second].recommender_config.min_recommendation_requests_per_second == 1
    page, _ = world.resources.recommenders.list(EVERYTHING, dataset_group_arn=other)
    assert [item.arn for item in page.items] == [second]


def test_tags_are_those_of_the_recommender(world):
    made = world.resources.recommenders.create(
        "views",
        dataset_group_arn=world.imported_group("ECOMMERCE"),
        recipe_arn=MOST_VIEWED,
        tags=[("team", "shop")],
    )

    world.resources.tags.add(made.arn, [("stage", "test")])

    assert {tag.tag_key: tag.tag_value for tag in world.resources.tags.list(made.arn)} == {
        "team": "shop",
        "stage": "test",
    }


# Updates


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


# Stop and start


def stopped(world):
    recommender = world.active_recommender()
    world.resources.recommenders.stop(recommender)
    world.serve("worker")
    world.sweep()
    return recommender


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


# Deletions


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
    assert (lease.job.kind, lease.job.payload) == (
        JobKind.STORAGE_REMOVAL,
        {"locations": [version.artifact_location]},
    )
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
