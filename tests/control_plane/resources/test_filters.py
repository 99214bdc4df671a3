"""Filters: what is checked when they are created, their quotas, and what keeps them."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, LimitExceeded, ResourceAlreadyExists, ResourceInUse, ResourceNotFound
from control_plane.domain.quotas import Quotas
from tests.control_plane.resources.test_batch_jobs import inference_request
from tests.control_plane.world import EVERYTHING, ITEMS, make_world

SEEN = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
COMEDIES = 'INCLUDE ItemID WHERE Items.GENRES IN ("comedy")'


def create(world, group, expression=SEEN, name="seen"):
    return world.resources.filters.create(name, dataset_group_arn=group, filter_expression=expression)


@pytest.fixture
def group(world):
    made = world.group()
    world.dataset(made)
    return made


def test_a_filter_is_described_and_listed_as_it_was_written(world, group):
    row = create(world, group)

    assert row.arn.endswith(":filter/seen")
    assert world.resources.filters.describe(row.arn).filter_expression == SEEN
    assert [item.arn for item in world.resources.filters.list(EVERYTHING, dataset_group_arn=group).items] == [row.arn]
    assert world.resources.filters.list(EVERYTHING, dataset_group_arn=world.group()).items == []


def test_an_expression_has_to_fit_the_datasets_of_its_group_and_nothing_is_left_of_one_that_does_not(world, group):
    for expression in (COMEDIES, "EXCLUDE ItemID WHERE", "x" * 2501):
        with pytest.raises(InvalidInput, match=r"filterExpression|Could not create filter"):
            create(world, group, expression)
    assert world.resources.filters.list(EVERYTHING, dataset_group_arn=None).items == []

    world.dataset(group, "Items", ITEMS)
    assert create(world, group, COMEDIES).fields == ["Items.GENRES"]


def test_names_are_unique_and_groups_exist(world, group):
    create(world, group)
    with pytest.raises(ResourceAlreadyExists):
        create(world, group)
    with pytest.raises(ResourceNotFound):
        create(world, f"{group}x", name="other")


def test_filters_and_their_fields_are_limited(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(filters_per_group=2, filter_fields_per_group=1))
    group = world.group()
    world.dataset(group)
    world.dataset(group, "Items", ITEMS)
    create(world, group)
    with pytest.raises(LimitExceeded, match="filter_fields_per_group"):
        create(world, group, COMEDIES, "comedies")
    create(world, group, SEEN, "again")
    with pytest.raises(LimitExceeded, match="filters_per_group"):
        create(world, group, SEEN, "third")
    world.metadata_store.close()


def test_a_filter_is_kept_by_a_batch_job_and_keeps_its_group(world):
    version = world.active_version()
    group = world.resources.versions.describe(version).dataset_group_arn
    used, unused = create(world, group).arn, create(world, group, name="unused").arn
    world.resources.batch_inference.create(inference_request(version, filter_arn=used))

    with pytest.raises(ResourceInUse, match="batch-inference-job"):
        world.resources.filters.delete(used)
    world.resources.filters.delete(unused)
    with pytest.raises(ResourceNotFound):
        world.resources.filters.describe(unused)

    empty = world.group()
    world.dataset(empty)
    create(world, empty, name="alone")
    with pytest.raises(ResourceInUse, match="1 filters"):
        world.resources.dataset_groups.delete(empty)


def test_filters_have_tags_that_go_with_them(world, group):
    row = create(world, group)
    world.resources.tags.add(row.arn, [("team", "a")])
    assert [tag.tag_key for tag in world.resources.tags.list(row.arn)] == ["team"]
    world.resources.filters.delete(row.arn)
    with pytest.raises(ResourceNotFound):
        world.resources.tags.list(row.arn)
