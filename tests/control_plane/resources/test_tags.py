"""Tags of resources."""

from __future__ import annotations

import pytest

from common.errors import (
    InvalidInput,
    ResourceNotFound,
    TooManyTags,
)
from tests.control_plane.world import (
    ACCOUNT,
    ITEMS,
)

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"


def test_tags_given_at_creation_are_listed_changed_and_removed(world):
    group = world.resources.dataset_groups.create("films", tags=[("team", "a"), ("stage", "test")]).arn
    world.resources.tags.add(group, [("team", "b"), ("cost", "7")])
    world.resources.tags.remove(group, ["stage", "unknown"])

    assert [(tag.tag_key, tag.tag_value) for tag in world.resources.tags.list(group)] == [("cost", "7"), ("team", "b")]


def test_tags_are_deleted_with_their_resource(world):
    group = world.resources.dataset_groups.create("films", tags=[("team", "a")]).arn
    world.resources.dataset_groups.delete(group)
    world.resources.dataset_groups.create("films")

    assert world.resources.tags.list(group) == []


def test_too_many_tags_over_several_calls_are_refused(world):
    group = world.group()
    world.resources.tags.add(group, [(f"k{number}", "") for number in range(50)])

    with pytest.raises(TooManyTags):
        world.resources.tags.add(group, [("one more", "")])


def test_tags_need_a_resource_that_exists_and_can_have_tags(world):
    schema = world.resources.schemas.create("films", ITEMS).arn

    with pytest.raises(InvalidInput, match="`resourceArn`"):
        world.resources.tags.list(schema)
    with pytest.raises(ResourceNotFound, match=r"^Resource Arn .* does not exist"):
        world.resources.tags.list(f"{ARN}:campaign/x")


def test_versions_have_tags_of_their_own(world):
    version = world.active_version()
    world.resources.tags.add(version, [("team", "a")])

    assert [tag.tag_key for tag in world.resources.tags.list(version)] == ["team"]
