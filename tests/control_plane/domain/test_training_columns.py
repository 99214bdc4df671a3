"""Which columns a solution may name, and that the trainer is told."""

from __future__ import annotations

import json

import pytest

from common.errors import InvalidInput
from control_plane.domain.training_columns import check_columns_exist, check_training_columns
from control_plane.resources.solutions import SolutionRequest
from control_plane.servicers.messages import as_document, as_message
from protos.tailorbird.control.v1 import solution_pb2
from tests.control_plane.world import ITEMS, POPULARITY, avro, column

WITHOUT_GENRES = {"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["GENRES"]}}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"excludedDatasetColumns": {"FILMS": []}}, "`datasetType`: got 'FILMS'"),
        ({"excludedDatasetColumns": {"ITEMS": ["A"] * 51}}, "51 columns', want at most 50"),
        ({"excludedDatasetColumns": {"ITEMS": [], "Items": []}}, "every dataset once"),
        ({"includedDatasetColumns": {kind: [] for kind in ("ITEMS", "USERS", "INTERACTIONS", "ACTIONS")}}, "at most 3"),
        ({"excludedDatasetColumns": {"INTERACTIONS": ["EVENT_TYPE"]}}, r"got \['EVENT_TYPE'\], want columns that can"),
        ({"excludedDatasetColumns": {"ITEMS": ["ITEM_ID"]}}, "can be left out"),
        (
            {"excludedDatasetColumns": {"ITEMS": ["A"]}, "includedDatasetColumns": {"items": ["B"]}},
            "not in excludedDatasetColumns too",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(config, told):
    with pytest.raises(InvalidInput, match=told):
        check_training_columns(config)


def refused(config):
    try:
        check_training_columns(config)
    except InvalidInput:
        return True
    return False


def test_each_dataset_has_one_form_and_names_of_its_columns():
    names = [f"C{number}" for number in range(50)]
    assert not refused({})
    assert not refused({"excludedDatasetColumns": {"ITEMS": names}, "includedDatasetColumns": {"USERS": ["B" * 150]}})

    assert refused({"excludedDatasetColumns": {"ITEMS": names}, "includedDatasetColumns": {"ITEMS": ["B"]}})
    assert refused({"excludedDatasetColumns": {"ITEMS": [*names, "C50"]}})
    assert refused({"includedDatasetColumns": {"USERS": ["B" * 151]}})


def test_columns_are_those_of_the_schema_where_there_is_one():
    check_columns_exist(WITHOUT_GENRES["trainingDataConfig"], {"ITEMS": ITEMS})
    check_columns_exist({"includedDatasetColumns": {"USERS": ["AGE"]}}, {"ITEMS": ITEMS})
    with pytest.raises(InvalidInput, match=r"includedDatasetColumns\.ITEMS`: got 'GENRE', want one of ITEM_ID, GENRES"):
        check_columns_exist({"includedDatasetColumns": {"items": ["GENRE"]}}, {"ITEMS": ITEMS})


def solution(world, group, config):
    request = SolutionRequest(
        name=world.name("solution"), dataset_group_arn=group, recipe_arn=POPULARITY, solution_config=config
    )
    return world.resources.solutions.create(request)


def test_a_column_that_no_dataset_has_is_told_at_once_or_before_a_training(world):
    group = world.imported_group()
    unknown = {"trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["COLOUR"]}}}
    early = solution(world, group, unknown)  # there is no Items dataset yet
    world.dataset(group, "Items", ITEMS)

    with pytest.raises(InvalidInput, match="got 'COLOUR'"):
        solution(world, group, unknown)
    with pytest.raises(InvalidInput, match="got 'COLOUR'"):
        world.version(early.arn)


def test_the_trainer_is_told(world):
    group = world.imported_group()
    world.version(solution(world, group, WITHOUT_GENRES).arn)

    assert json.loads(world.lease().job.payload["solution_config_json"]) == WITHOUT_GENRES


def test_lists_by_name_travel_as_messages():
    document = {"name": "films", "solutionConfig": WITHOUT_GENRES}
    assert as_document(as_message(solution_pb2.CreateSolutionRequest, document)) == document


def semantic_solution(world, group):
    recipe = "arn:aws:personalize:::recipe/aws-semantic-similarity"
    request = SolutionRequest(name=world.name("solution"), dataset_group_arn=group, recipe_arn=recipe)
    return world.resources.solutions.create(request).arn


def test_a_recipe_of_texts_needs_items_with_names_and_texts_but_no_interactions(world):
    described = avro(
        "Items", column("ITEM_ID"), column("TITLE", itemName=True), column("PLOT", ["null", "string"], textual=True)
    )
    group, plain = world.group(), world.imported_group()
    world.dataset(plain, "Items", ITEMS)
    asked = semantic_solution(world, group)

    with pytest.raises(InvalidInput, match="an Items dataset"):
        world.version(asked)
    with pytest.raises(InvalidInput, match=r"got \['ITEM_ID', 'GENRES'\], want a field of the attribute itemName"):
        world.version(semantic_solution(world, plain))
    dataset = world.dataset(group, "Items", described)
    with pytest.raises(InvalidInput, match="import some"):
        world.version(asked)
    world.import_job(dataset)
    world.finish_next({"imported_rows": 3, "files": 1})
    world.version(asked)
    assert [table["dataset_type"] for table in world.lease().job.payload["tables"]] == ["ITEMS"]
