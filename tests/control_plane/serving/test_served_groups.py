"""What runtimes are told of dataset groups: datasets, filters, and a revision that every change of them moves."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import event

from control_plane.metadata_store.tables import Dataset
from control_plane.serving.assignments import assignment_set
from protos.tailorbird.internal.v1 import serving_pb2
from tests.control_plane.world import INTERACTIONS, ITEMS, POPULARITY, avro, column

SEEN = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
COMEDIES = 'INCLUDE ItemID WHERE Items.GENRES IN ("comedy")'
USERS = avro("Users", column("USER_ID"), column("AGE", ["null", "int"]))
MORE_ITEMS = avro(
    "Items", column("ITEM_ID"), column("GENRES", ["null", "string"], categorical=True), column("YEAR", ["null", "int"])
)


@pytest.fixture
def group(world):
    """Make a dataset group with items, of which a campaign is served."""
    campaign = world.active_campaign()
    solution = world.resources.campaigns.describe(campaign).campaign.solution_arn
    made = world.resources.solutions.describe(solution)[0].dataset_group_arn
    world.dataset(made, "Items", ITEMS)
    return made


def create_filter(world, group, name="comedies", expression=COMEDIES):
    return world.resources.filters.create(name, dataset_group_arn=group, filter_expression=expression).arn


def watched(world):
    """Return what a runtime is answered, as the contract's message."""
    request = serving_pb2.WatchServingAssignmentsRequest(runtime_id="worker", wait_seconds=0)
    return asyncio.run(servicer(world).WatchServingAssignments(request, None))


def servicer(world):
    return next(one.servicer for one in world.plane.services if one.descriptor.name == "ServingService")


def dataset_arn(world, group, dataset_type):
    return world.metadata_store.view(
        lambda unit: unit.first(Dataset, dataset_group_arn=group, dataset_type=dataset_type).arn
    )


def test_a_runtime_is_told_the_datasets_and_filters_of_the_groups_that_it_serves(world, group):
    names = [create_filter(world, group), create_filter(world, group, "seen", SEEN)]
    items = dataset_arn(world, group, "ITEMS")
    world.metadata_store.transact(lambda unit: setattr(unit.get(Dataset, items), "features_location", "features/5"))
    create_filter(world, world.imported_group(), "not-served", SEEN)

    (served,) = watched(world).dataset_groups

    assert served.dataset_group_arn == group
    assert [(item.dataset_type, item.schema) for item in served.datasets] == [
        ("INTERACTIONS", INTERACTIONS),
        ("ITEMS", ITEMS),
    ]
    assert [item.features_location for item in served.datasets if item.HasField("features_location")] == ["features/5"]
    assert [(item.filter_arn, item.filter_expression) for item in served.filters] == list(
        zip(names, [COMEDIES, SEEN], strict=True)
    )


def test_nothing_is_told_of_groups_of_which_nothing_is_served(world):
    create_filter(world, world.imported_group(), "seen", SEEN)

    assert list(watched(world).dataset_groups) == []


def test_datasets_that_are_being_deleted_are_not_told(world, group):
    world.resources.datasets.delete(dataset_arn(world, group, "ITEMS"))

    assert [item.dataset_type for item in watched(world).dataset_groups[0].datasets] == ["INTERACTIONS"]


@pytest.mark.parametrize(
    "change", ["filter", "deletion of a filter", "dataset", "schema of a dataset", "deletion of a dataset"]
)
def test_every_change_of_a_group_changes_the_revision(world, group, change):
    items = dataset_arn(world, group, "ITEMS")
    old = create_filter(world, group, "seen", SEEN)
    more = world.resources.schemas.create("more", MORE_ITEMS).arn
    before = watched(world)

    if change == "filter":
        create_filter(world, group)
    elif change == "deletion of a filter":
        world.resources.filters.delete(old)
    elif change == "dataset":
        world.dataset(group, "Users", USERS)
    elif change == "schema of a dataset":
        world.resources.datasets.update(items, schema_arn=more)
    else:
        world.resources.datasets.delete(items)

    current = servicer(world).GetServingRevision(serving_pb2.GetServingRevisionRequest(), None)
    after = watched(world)
    assert after.revision == current.revision > before.revision
    assert after.dataset_groups != before.dataset_groups
    assert after.assignments == before.assignments


def test_queries_do_not_depend_on_how_many_campaigns_a_group_has(world, group):
    create_filter(world, group)
    one = statements_of_groups(world)
    for _ in range(3):
        solution = world.solution(group, POPULARITY)
        version = world.version(solution)
        world.finish_next({"metrics": {}})
        world.campaign(version)

    assert len(world.assigned()) == 4
    assert statements_of_groups(world) == one == 3


def statements_of_groups(world):
    """Return how many statements read datasets, schemas and filters for one answer."""
    statements = []

    def record(connection, cursor, statement, *_):
        statements.append(statement.replace("\n", " "))

    engine = world.metadata_store._database.reading
    event.listen(engine, "before_cursor_execute", record)
    try:
        world.metadata_store.view(assignment_set)
    finally:
        event.remove(engine, "before_cursor_execute", record)
    return sum(
        f" FROM {name} " in statement for statement in statements for name in ("dataset", "dataset_schema", "filter")
    )
