"""Solutions: recipes and AutoML, automatic training and its changes, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.errors import InvalidInput, ResourceInUse, ResourceNotFound
from control_plane.domain.schedules import AutomaticTraining, Task
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import Schedule
from protos.tailorbird.control.v1.common_pb2 import ResourceStatus
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest, UpdateSolutionRequest
from tests.control_plane.messages import filled, solution_config
from tests.control_plane.world import PERSONALIZATION, make_world

RECIPE = "arn:aws:personalize:::recipe/"
EVENTS = {"eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": 1.0}]}}


def schedules(world):
    return world.metadata_store.view(lambda unit: unit.find(Schedule))


def update(world, solution, document):
    return world.resources.solutions.update(filled(UpdateSolutionRequest(solution_arn=solution), document))


def described(world, solution):
    return world.resources.solutions.describe(solution)[0]


def test_tuning_of_what_has_nothing_to_tune_is_refused(world):
    with pytest.raises(InvalidInput, match="want false"):
        world.solution(world.group(), PERSONALIZATION, perform_hpo=True)


def test_incremental_updates_are_refused_of_recipes_without(world):
    reason = "want false: aws-user-personalization-v2 has no incremental updates"
    with pytest.raises(InvalidInput, match=f"`performIncrementalUpdate`: got True, {reason}"):
        world.solution(world.group(), PERSONALIZATION, perform_incremental_update=True)
    with pytest.raises(InvalidInput, match="a recipe that AutoML chooses has no incremental updates"):
        world.solution(world.group(), None, perform_auto_ml=True, perform_incremental_update=True)
    solution = world.solution(world.group(), PERSONALIZATION, perform_incremental_update=False)

    with pytest.raises(InvalidInput, match=f"`performIncrementalUpdate`: got True, {reason}"):
        update(world, solution, {"performIncrementalUpdate": True})


def test_incremental_updates_are_the_default_of_the_recipe_that_has_them(world):
    recipe = f"{RECIPE}aws-semantic-similarity"
    solution = world.solution(world.group(), recipe)
    assert described(world, solution).perform_incremental_update
    assert not described(world, world.solution(world.group())).perform_incremental_update
    assert not described(
        world, world.solution(world.group(), recipe, perform_incremental_update=False)
    ).perform_incremental_update

    update(world, solution, {"performAutoTraining": True})
    assert described(world, solution).latest_update.perform_incremental_update
    update(world, solution, {"performIncrementalUpdate": False})

    assert not described(world, solution).perform_incremental_update
    assert not described(world, solution).latest_update.perform_incremental_update
    assert {schedule.task for schedule in schedules(world)} == {Task.TRAINING}


def test_solution_needs_a_recipe(world):
    with pytest.raises(InvalidInput, match="`recipeArn`"):
        world.resources.solutions.create(CreateSolutionRequest(name="films", dataset_group_arn=world.group()))


def test_solution_shows_its_newest_version(world):
    solution = world.solution(world.imported_group())
    assert world.resources.solutions.describe(solution)[1] is None
    world.version(solution)
    world.clock.advance(seconds=1)
    newest = world.version(solution)

    assert world.resources.solutions.describe(solution)[1].arn == newest


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("value", [None, True, False])
def test_the_installation_says_whether_solutions_that_do_not_are_trained_automatically(tmp_path, default, value):
    policy = AutomaticTraining(by_default=default, first_after=timedelta(minutes=7))
    world = make_world(tmp_path, automatic_training=policy)
    expected = default if value is None else value

    solution = world.solution(world.group(), perform_auto_training=value)

    assert described(world, solution).perform_auto_training is expected
    assert [item.solution_arn for item in schedules(world)] == [solution] * expected
    for schedule in schedules(world):
        assert schedule.interval_seconds == 7 * 86_400
        assert schedule.next_run_at == world.clock.now() + policy.first_after
    world.metadata_store.close()


def test_a_rate_may_be_kept_for_later(world):
    config = solution_config({"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}})
    solution = world.solution(world.group(), solution_config=config)
    assert schedules(world) == []

    update(world, solution, {"performAutoTraining": True})

    assert [item.interval_seconds for item in schedules(world)] == [3 * 86_400]


def test_an_update_changes_what_it_names_and_is_shown(world):
    solution = world.solution(world.imported_group(), PERSONALIZATION)
    assert described(world, solution).latest_update is None
    world.clock.advance(seconds=60)
    changes = {"autoTrainingConfig": {"schedulingExpression": "rate(1 day)"}, **EVENTS}

    update(world, solution, {"performAutoTraining": True, "solutionUpdateConfig": changes})

    changed = described(world, solution)
    assert changed.solution_config == solution_config(changes)
    assert changed.perform_auto_training
    assert changed.last_updated_date_time == world.clock.now()
    latest = changed.latest_update
    assert latest.status == ResourceStatus.RESOURCE_STATUS_ACTIVE
    assert latest.perform_auto_training
    assert latest.solution_update_config.events_config == changed.solution_config.events_config
    assert latest.creation_date_time.ToDatetime(world.clock.now().tzinfo) == world.clock.now()

    update(world, solution, {"performAutoTraining": False})

    assert described(world, solution).solution_config == solution_config(changes)
    assert not described(world, solution).latest_update.HasField("solution_update_config")
    assert schedules(world) == []


def test_a_version_keeps_the_configuration_that_it_began_with(world):
    solution = world.solution(world.imported_group(), PERSONALIZATION)
    before = world.version(solution)

    update(world, solution, {"solutionUpdateConfig": EVENTS})

    assert world.resources.versions.describe(before).solution_config == SolutionConfig()
    after = world.version(solution)
    assert world.resources.versions.describe(after).solution_config == solution_config(EVENTS)


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        (
            "aws-user-personalization-v2",
            {"autoTrainingConfig": {"schedulingExpression": "rate(31 days)"}},
            r"`solutionUpdateConfig\.autoTrainingConfig\.schedulingExpression`",
        ),
        ("aws-popularity-count", EVENTS, r"`solutionConfig\.eventsConfig`.*recipes of version 2"),
    ],
)
def test_an_update_that_does_not_fit_changes_nothing(world, recipe, changes, message):
    solution = world.solution(world.group(), f"{RECIPE}{recipe}")

    with pytest.raises(InvalidInput, match=message):
        update(world, solution, {"performAutoTraining": True, "solutionUpdateConfig": changes})

    unchanged = described(world, solution)
    assert (unchanged.perform_auto_training, unchanged.latest_update) == (False, None)
    assert schedules(world) == []


def test_a_solution_that_is_deleted_is_not_updated_and_not_scheduled(world):
    solution = world.solution(world.imported_group(), perform_auto_training=True)
    world.version(solution)
    with pytest.raises(ResourceInUse):
        world.resources.solutions.delete(solution)
    assert len(schedules(world)) == 1
    world.finish_next({"metrics": {}})
    world.resources.solutions.delete(solution)

    assert described(world, solution).status == Status.DELETE_PENDING
    assert schedules(world) == []
    with pytest.raises(ResourceInUse, match="DELETE PENDING"):
        update(world, solution, {"performAutoTraining": True})


def test_auto_ml_takes_no_recipe(world):
    with pytest.raises(InvalidInput, match=r"`recipeArn`.*performAutoML true"):
        world.solution(world.group(), perform_auto_ml=True)
    config = solution_config({"autoMLConfig": {"recipeList": [f"{RECIPE}aws-nothing"]}})
    with pytest.raises(ResourceNotFound, match="aws-nothing"):
        world.solution(world.group(), None, perform_auto_ml=True, solution_config=config)


def test_the_trainer_chooses_the_recipe_of_each_version(world):
    solution = world.solution(world.imported_group(), None, perform_auto_ml=True)
    version = world.version(solution)
    assert described(world, solution).recipe_arn is None
    assert world.resources.versions.describe(version).recipe_arn is None
    lease = world.lease()
    search = lease.job.payload["recipe_search"]
    assert [item["recipe"] for item in search["candidates"]] == [
        "aws-hrnn", "aws-user-personalization", "aws-user-personalization-v2",
    ]  # fmt: skip
    assert "recipe" not in lease.job.payload

    result = {"metrics": {}, "recipe": "aws-hrnn"}
    world.complete(lease, result)

    chosen = f"{RECIPE}aws-hrnn"
    assert world.resources.versions.describe(version).recipe_arn == chosen
    assert described(world, solution).best_recipe_arn == chosen
    assert described(world, solution).recipe_arn is None
    campaign = world.campaign(version)
    assert world.status(campaign) == Status.CREATE_PENDING
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: a recipe that AutoML chooses"):
        world.resources.versions.create(solution, training_mode="UPDATE")
