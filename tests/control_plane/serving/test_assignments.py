"""The set of assignments, and its revision."""

from __future__ import annotations

import pytest

from control_plane.serving.reconciler import Phase
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig


def test_campaign_that_never_answered_is_assigned_as_not_active(world):
    campaign = world.campaign(world.active_version())

    assert not world.assigned()[campaign].active


def test_assignment_has_all_that_a_worker_needs(world):
    version = world.resources.versions.describe(world.active_version())
    tracker = world.resources.trackers.create("films", dataset_group_arn=version.dataset_group_arn)
    campaign = world.campaign(version.arn, config={"enableMetadataWithRecommendations": False})

    assigned = world.assigned()[campaign]

    assert assigned.solution_version_arn == version.arn
    assert assigned.artifact_location == version.artifact_location
    assert assigned.campaign_config == CampaignConfig(enable_metadata_with_recommendations=False)
    assert assigned.tracking_ids == (tracker.tracking_id,)
    assert assigned.dataset_group_arn == version.dataset_group_arn
    assert assigned.event_type is None


@pytest.mark.parametrize("change", ["tracker", "campaign", "update", "delete", "failed update"])
def test_every_change_of_the_assignments_changes_their_revision(world, change):
    campaign = world.active_campaign()
    solution = world.resources.campaigns.describe(campaign).campaign.solution_arn
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    if change == "failed update":
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    before = world.watch("worker")

    if change == "tracker":
        world.resources.trackers.create("films", dataset_group_arn=group)
    elif change == "campaign":
        world.campaign(f"{solution}/$LATEST")
    elif change == "update":
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    elif change == "delete":
        world.resources.campaigns.delete(campaign)
    else:
        world.serve("worker", Phase.FAILED)

    assert world.watch("worker") > before


def test_readiness_changes_no_revision(world):
    world.campaign(world.active_version())
    before = world.watch("worker")

    world.serve("worker")

    assert world.watch("worker") == before
