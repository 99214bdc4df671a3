"""Event trackers: one for each group, and the tables that their tracking ids resolve to."""

from __future__ import annotations

import pytest

from common.errors import (
    ResourceAlreadyExists,
    ResourceNotFound,
)
from tests.control_plane.world import (
    ACCOUNT,
)

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"


def test_group_has_one_event_tracker(world):
    group = world.group()
    first = world.resources.trackers.create("films", dataset_group_arn=group)

    with pytest.raises(ResourceAlreadyExists) as caught:
        world.resources.trackers.create("others", dataset_group_arn=group)
    assert caught.value.message == (
        f"Another resource with Arn {first.arn} already exists. Dataset group {group} has the event tracker films "
        "already, and may have one."
    )
    assert first.arn.startswith(f"{ARN}:event-tracker/")
    assert len(first.tracking_id) == 36


def test_trackers_of_several_groups_may_have_one_name(world):
    made = [world.resources.trackers.create("films", dataset_group_arn=world.group()) for _ in range(2)]

    assert {tracker.name for tracker in made} == {"films"}
    assert len({tracker.arn for tracker in made}) == 2


def test_tracking_id_resolves_to_group_and_table(world):
    group = world.group()
    tracker = world.resources.trackers.create("films", dataset_group_arn=group)
    assert world.resources.trackers.resolve(tracker.tracking_id).interactions is None

    dataset = world.dataset(group)

    tracked = world.resources.trackers.resolve(tracker.tracking_id)
    assert (tracked.event_tracker_arn, tracked.dataset_group_arn) == (tracker.arn, group)
    assert tracked.interactions.location == world.resources.datasets.describe(dataset).location


def test_tracking_id_of_a_deleted_tracker_does_not_resolve(world):
    tracker = world.resources.trackers.create("films", dataset_group_arn=world.group())
    world.resources.trackers.delete(tracker.arn)

    with pytest.raises(ResourceNotFound, match="`trackingId`"):
        world.resources.trackers.resolve(tracker.tracking_id)
