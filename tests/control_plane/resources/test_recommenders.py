"""Recommenders: how they are created, who may have them, and what nobody sees of them."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, LimitExceeded, ResourceAlreadyExists
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.tables import Solution, SolutionVersion
from control_plane.serving.reconciler import Phase
from tests.control_plane.resources.recommenders import (
    FEW_EVENTS,
    assigned,
    described,
    fail_next,
    rows,
    shop,
    update_of,
    versions_of,
)
from tests.control_plane.world import EVERYTHING, MOST_VIEWED, make_world

MORE_LIKE_X = "arn:aws:personalize:::recipe/aws-vod-more-like-x"


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
    assert (row.status, row.failure_reason) == ("CREATE FAILED", "1 of 1 runtime workers could not load it: damaged")


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
        "views", dataset_group_arn=world.imported_group("ECOMMERCE"), recipe_arn=MOST_VIEWED, tags=[("team", "shop")]
    )

    world.resources.tags.add(made.arn, [("stage", "test")])

    assert {tag.tag_key: tag.tag_value for tag in world.resources.tags.list(made.arn)} == {
        "team": "shop",
        "stage": "test",
    }
