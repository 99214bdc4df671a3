"""Dataset groups, schemas and datasets: ARNs, parents, uniqueness, tables."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common.errors import (
    InvalidInput,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
)
from control_plane.domain.jobs import JobKind
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.control_plane.world import (
    ACCOUNT,
    INTERACTIONS,
    ITEMS,
    POPULARITY,
    avro,
    column,
)

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Personalize"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"


def test_arns_are_made_of_names(world):
    group = world.resources.dataset_groups.create("films").arn
    schema = world.resources.schemas.create("films", ITEMS).arn
    dataset = world.resources.datasets.create(
        "films", schema_arn=schema, dataset_group_arn=group, dataset_type="items"
    ).arn
    solution = world.resources.solutions.create(
        CreateSolutionRequest(name="films", dataset_group_arn=group, recipe_arn=POPULARITY)
    ).arn

    assert group == f"{ARN}:dataset-group/films"
    assert schema == f"{ARN}:schema/films"
    assert dataset == f"{ARN}:dataset/films/ITEMS"
    assert solution == f"{ARN}:solution/films"


def test_a_taken_name_is_refused_in_the_words_of_personalize(world):
    world.resources.dataset_groups.create("films")

    with pytest.raises(ResourceAlreadyExists) as caught:
        world.resources.dataset_groups.create("films")

    assert caught.value.message == f"Another resource with Arn {ARN}:dataset-group/films already exists."


def test_resources_without_a_job_are_active_at_once(world):
    group = world.group()
    dataset = world.dataset(group)

    assert world.resources.dataset_groups.describe(group).status == "ACTIVE"
    assert world.resources.datasets.describe(dataset).status == "ACTIVE"


def test_role_of_a_group_needs_a_key(world):
    world.resources.dataset_groups.create("both", role_arn=ROLE, kms_key_arn=KEY)
    with pytest.raises(InvalidInput, match="kmsKeyArn"):
        world.resources.dataset_groups.create("films", role_arn=ROLE)


@pytest.mark.parametrize(
    ("arn", "error"),
    [("films", InvalidInput), (f"{ARN}:schema/films", InvalidInput), (f"{ARN}:dataset-group/x", ResourceNotFound)],
)
def test_a_wrong_arn_is_distinguished_from_a_missing_resource(world, arn, error):
    message = "`datasetGroupArn`: got" if error is InvalidInput else f"Resource Arn {arn} does not exist"
    with pytest.raises(error, match=message):
        world.resources.dataset_groups.describe(arn)


def test_group_has_one_dataset_of_each_type(world):
    group = world.group()
    world.dataset(group)

    with pytest.raises(ResourceAlreadyExists, match="INTERACTIONS"):
        world.dataset(group)


def test_dataset_and_schema_must_be_for_the_same_type_and_domain(world):
    plain = world.resources.schemas.create("plain", ITEMS).arn
    shop_items = avro("Items", column("ITEM_ID"), column("PRICE", "float"), column("CATEGORY_L1", categorical=True))
    shop = world.resources.schemas.create("shop", shop_items, domain="ECOMMERCE").arn
    group = world.group()

    with pytest.raises(InvalidInput, match="a schema for ITEMS"):
        world.resources.datasets.create("x", schema_arn=plain, dataset_group_arn=group, dataset_type="Users")
    with pytest.raises(InvalidInput, match="ECOMMERCE"):
        world.resources.datasets.create("x", schema_arn=shop, dataset_group_arn=group, dataset_type="Items")


def test_each_dataset_has_its_own_table_also_after_a_deletion(world):
    group = world.group()
    dataset = world.dataset(group)
    before = world.resources.datasets.describe(dataset).location
    world.resources.datasets.delete(dataset)
    world.finish_next({"removed_objects": 0})

    after = world.resources.datasets.describe(world.dataset(group)).location

    assert before.startswith(f"datasets/{ACCOUNT}/group-0/INTERACTIONS-")
    assert before != after


@pytest.mark.parametrize(
    ("kind", "schema", "has_features"), [("Items", ITEMS, True), ("Interactions", INTERACTIONS, False)]
)
def test_removal_job_names_the_folders(world, kind, schema, has_features):
    dataset = world.dataset(world.group(), kind, schema)
    world.resources.datasets.delete(dataset)

    lease = world.lease("trainer-1", JobKind.STORAGE_REMOVAL)

    location = world.resources.datasets.describe(dataset).location
    folder, _, name = location.rpartition("/")
    assert lease.job.payload["locations"] == [location, *([f"{folder}/features/{name}"] if has_features else [])]


MORE_ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("GENRES", ["null", "string"], categorical=True),
    column("COUNTRY", ["null", "string"], categorical=True),
)


def test_a_schema_grows_and_what_exists_does_not_learn_from_what_is_new(world):
    group = world.imported_group()
    items = world.dataset(group, "Items", ITEMS)
    old = world.solution(group)
    world.clock.advance(seconds=1)
    schema = world.resources.schemas.create("more", MORE_ITEMS).arn

    world.resources.datasets.update(items, schema_arn=schema)

    dataset = world.resources.datasets.describe(items)
    assert (dataset.schema_arn, dataset.latest_update.schema_arn) == (schema, schema)
    world.clock.advance(seconds=1)
    world.version(old)
    assert excluded(world.lease()) == {"ITEMS": ["COUNTRY"]}
    world.version(world.solution(group))
    assert excluded(world.lease()) == {}


def excluded(lease) -> dict[str, list[str]]:
    config = json_format.ParseDict(lease.job.payload.get("solution_config", {}), SolutionConfig())
    columns = config.training_data_config.excluded_dataset_columns
    return {kind: list(names.values) for kind, names in columns.items()}


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("Items", MORE_ITEMS, ITEMS, "`schemaArn`: got 'a schema without the field COUNTRY as it is'"),
        (
            "Items",
            ITEMS,
            avro("Items", column("ITEM_ID"), column("GENRES", "string", categorical=True)),
            "without the field GENRES as it is",
        ),
        (
            "Items",
            ITEMS,
            avro(
                "Items",
                column("ITEM_ID"),
                column("GENRES", ["null", "string"], categorical=True),
                column("YEAR", "int"),
            ),
            "got 'a new field YEAR without null', want null among its types",
        ),
        ("Interactions", INTERACTIONS, INTERACTIONS, "`datasetArn`: got 'a dataset of type INTERACTIONS'"),
        ("Items", ITEMS, INTERACTIONS, "got 'a schema for INTERACTIONS', want a schema for ITEMS"),
    ],
)
def test_schemas_that_do_not_fit_are_refused_and_change_nothing(world, kind, old, new, message):
    dataset = world.dataset(world.group(), kind, old)
    before = world.resources.datasets.describe(dataset).schema_arn
    schema = world.resources.schemas.create("new", new).arn

    with pytest.raises(InvalidInput, match=message):
        world.resources.datasets.update(dataset, schema_arn=schema)

    described = world.resources.datasets.describe(dataset)
    assert (described.schema_arn, described.latest_update) == (before, None)


def test_a_schema_is_not_changed_while_a_job_uses_the_dataset(world):
    dataset = world.dataset(world.group(), "Items", ITEMS)
    schema = world.resources.schemas.create("more", MORE_ITEMS).arn
    world.import_job(dataset)
    with pytest.raises(ResourceInUse, match="dataset-import-job"):
        world.resources.datasets.update(dataset, schema_arn=schema)


def test_action_interactions_have_a_tracking_id_of_their_own(world):
    group = world.group()
    actions = avro(
        "ActionInteractions", column("USER_ID"), column("ACTION_ID"), column("EVENT_TYPE"), column("TIMESTAMP", "long")
    )
    dataset = world.dataset(group, "Action_Interactions", actions)

    assert len(world.resources.datasets.describe(dataset).tracking_id) == 36
    assert world.resources.datasets.describe(world.dataset(group)).tracking_id is None
