"""Solution versions: what a training needs, what the trainer gets, and what is shown of it."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common.errors import (
    InvalidInput,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
)
from control_plane.domain.events import EventRule
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.control_plane.messages import solution_config
from tests.control_plane.world import (
    ACCOUNT,
    EVERYTHING,
    ITEMS,
    PERSONALIZATION,
    POPULARITY,
    avro,
    column,
)


def sent_config(lease) -> SolutionConfig:
    return json_format.ParseDict(lease.job.payload["solution_config"], SolutionConfig())


WITHOUT_GENRES = {"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["GENRES"]}}}


def solution(world, group, config):
    request = CreateSolutionRequest(
        name=world.name("solution"),
        dataset_group_arn=group,
        recipe_arn=POPULARITY,
        solution_config=solution_config(config),
    )
    return world.resources.solutions.create(request)


def test_a_column_that_no_dataset_has_is_refused_at_once_or_before_a_training(world):
    group = world.imported_group()
    unknown = {"trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["COLOUR"]}}}
    early = solution(world, group, unknown)  # there is no Items dataset yet
    world.dataset(group, "Items", ITEMS)

    with pytest.raises(InvalidInput, match="got 'COLOUR'"):
        solution(world, group, unknown)
    with pytest.raises(InvalidInput, match="got 'COLOUR'"):
        world.version(early.arn)


def test_training_columns_reach_the_trainer(world):
    group = world.imported_group()
    world.version(solution(world, group, WITHOUT_GENRES).arn)

    assert sent_config(world.lease()) == solution_config(WITHOUT_GENRES)


def semantic_solution(world, group):
    recipe = "arn:aws:personalize:::recipe/aws-semantic-similarity"
    request = CreateSolutionRequest(name=world.name("solution"), dataset_group_arn=group, recipe_arn=recipe)
    return world.resources.solutions.create(request).arn


def test_a_content_recipe_needs_items_with_names_and_texts_but_no_interactions(world):
    described = avro(
        "Items", column("ITEM_ID"), column("TITLE", itemName=True), column("PLOT", ["null", "string"], textual=True)
    )
    group, plain = world.group(), world.imported_group()
    world.dataset(plain, "Items", ITEMS)
    semantic = semantic_solution(world, group)

    with pytest.raises(InvalidInput, match="an Items dataset"):
        world.version(semantic)
    with pytest.raises(InvalidInput, match=r"got \['ITEM_ID', 'GENRES'\], want a field of the attribute itemName"):
        world.version(semantic_solution(world, plain))
    dataset = world.dataset(group, "Items", described)
    with pytest.raises(InvalidInput, match="import or put some"):
        world.version(semantic)
    world.import_job(dataset)
    world.finish_next({"imported_rows": 3, "files": 1})
    world.version(semantic)
    assert [table["dataset_type"] for table in world.lease().job.payload["tables"]] == ["ITEMS"]


def test_items_that_were_put_are_enough_for_a_training(world):
    described = avro(
        "Items", column("ITEM_ID"), column("TITLE", itemName=True), column("PLOT", ["null", "string"], textual=True)
    )
    group = world.group()
    dataset, semantic = world.dataset(group, "Items", described), semantic_solution(world, group)

    world.resources.trackers.note_rows([world.resources.datasets.describe(dataset).location])

    world.version(semantic)
    assert [table["dataset_type"] for table in world.lease().job.payload["tables"]] == ["ITEMS"]


def events_config(*entries: dict[str, object]) -> dict[str, object]:
    return {"eventsConfig": {"eventParametersList": list(entries)}}


def test_settings_reach_the_trainer_and_the_runtimes(world):
    config = events_config({"eventType": "watch", "weight": 0.5}, {"eventType": "buy"})
    request = CreateSolutionRequest(
        name=world.name("solution"), dataset_group_arn=world.imported_group(), recipe_arn=PERSONALIZATION,
        solution_config=solution_config(config),
    )  # fmt: skip
    solution = world.resources.solutions.create(request).arn
    assert world.resources.solutions.describe(solution)[0].solution_config == solution_config(config)

    version = world.version(solution)
    lease = world.lease()
    assert sent_config(lease) == solution_config(config)
    world.complete(lease, {"training_hours": 0.1})
    campaign = world.campaign(version)

    assert world.assigned()[campaign].event_rules == (EventRule("watch", None), EventRule("buy", None))


ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"


def test_version_needs_interactions_to_learn_from(world):
    group = world.group()
    solution = world.solution(group)
    with pytest.raises(InvalidInput, match="an Interactions dataset"):
        world.version(solution)
    dataset = world.dataset(group)
    with pytest.raises(InvalidInput, match="import some, or create an event tracker"):
        world.version(solution)

    world.import_job(dataset)
    world.finish_next({"imported_rows": 5000})

    assert world.resources.versions.describe(world.version(solution)).status == "CREATE PENDING"


def test_streamed_events_alone_are_enough_to_learn_from(world):
    group = world.group()
    world.dataset(group)
    world.resources.trackers.create("films", dataset_group_arn=group)

    assert world.version(world.solution(group))


def test_training_job_has_the_configuration_of_its_version(world):
    group = world.imported_group()
    world.dataset(group, "Items", ITEMS)
    config = {"algorithmHyperParameters": {"apply_recency_bias": "false"}}
    solution = world.resources.solutions.create(
        CreateSolutionRequest(
            name="films",
            dataset_group_arn=group,
            recipe_arn=PERSONALIZATION,
            event_type="watch",
            solution_config=solution_config(config),
        )
    ).arn
    version = world.version(solution)

    payload = world.lease().job.payload

    assert version.startswith(f"{solution}/")
    assert payload["solution_version_arn"] == version
    assert payload["artifact_location"] == f"artifacts/{ACCOUNT}/films-{version[-8:]}"
    assert payload["recipe"] == "aws-user-personalization-v2"
    assert payload["solution_config"] == {"algorithm_hyper_parameters": {"apply_recency_bias": "false"}}
    assert payload["event_type"] == "watch"
    assert [table["dataset_type"] for table in payload["tables"]] == ["INTERACTIONS", "ITEMS"]


def test_named_versions_of_a_solution_differ(world):
    solution = world.solution(world.imported_group())
    first = world.resources.versions.create(solution, name="first").arn
    unnamed = world.resources.versions.describe(world.version(solution))

    with pytest.raises(ResourceAlreadyExists, match=first):
        world.resources.versions.create(solution, name="first")
    assert unnamed.name == unnamed.arn.partition(":solution/")[2]


def test_metrics_exist_when_the_version_is_active(world):
    version = world.version(world.solution(world.imported_group()))
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.resources.versions.metrics(version)

    world.finish_next({"metrics": {"coverage": 0.25}})

    assert world.resources.versions.metrics(version) == {"coverage": 0.25}


def test_finished_version_cannot_be_stopped(world):
    with pytest.raises(ResourceInUse, match="ACTIVE"):
        world.resources.versions.stop(world.active_version())


def test_versions_of_an_unknown_solution_are_not_found(world):
    with pytest.raises(ResourceNotFound):
        world.resources.versions.list(EVERYTHING, solution_arn=f"{ARN}:solution/x")


VERSION_1 = "arn:aws:personalize:::recipe/aws-user-personalization"


def test_an_update_begins_from_the_newest_version_that_was_trained_in_full(world):
    solution = world.solution(world.imported_group(), VERSION_1)
    for _ in range(2):
        newest = world.version(solution)
        world.finish_next({"metrics": {"coverage": 0.5}})
        world.clock.advance(seconds=1)
    world.version(solution)  # still waits

    for _ in range(2):
        update = world.resources.versions.create(solution, training_mode="UPDATE")
        payload = world.lease().job.payload
        while payload["solution_version_arn"] != update.arn:
            payload = world.lease().job.payload
        base = world.resources.versions.describe(newest)
        assert (payload["training_mode"], update.training_mode) == ("UPDATE", "UPDATE")
        assert payload["base_artifact_location"] == base.artifact_location
        world.clock.advance(seconds=1)


def test_a_full_training_begins_from_nothing(world):
    world.version(world.solution(world.imported_group(), VERSION_1))
    assert "base_artifact_location" not in world.lease().job.payload


def test_an_update_needs_a_version_to_begin_from(world):
    solution = world.solution(world.imported_group(), VERSION_1)
    world.version(solution)
    with pytest.raises(
        InvalidInput, match=f"`trainingMode`: got 'UPDATE', want FULL: {solution} has no ACTIVE version"
    ):
        world.resources.versions.create(solution, training_mode="UPDATE")
    plain = world.solution(world.imported_group(), PERSONALIZATION)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: aws-user-personalization-v2"):
        world.resources.versions.create(plain, training_mode="UPDATE")


def test_an_objective_needs_its_column_when_a_version_is_trained(world):
    group = world.imported_group()
    config = {"optimizationObjective": {"itemAttribute": "PRICE", "objectiveSensitivity": "LOW"}}
    request = CreateSolutionRequest(
        name=world.name("solution"),
        dataset_group_arn=group,
        recipe_arn=VERSION_1,
        solution_config=solution_config(config),
    )
    solution = world.resources.solutions.create(request).arn
    with pytest.raises(InvalidInput, match=r"itemAttribute`: got 'PRICE'.*no such column"):
        world.version(solution)

    world.dataset(group, "Items", avro("Items", column("ITEM_ID"), column("PRICE", "float")))

    assert world.version(solution)
    assert sent_config(world.lease()) == solution_config(config)
