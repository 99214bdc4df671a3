"""Campaigns: which versions and configurations they may serve, and updates."""

from __future__ import annotations

import pytest

from common.errors import (
    InvalidInput,
    LimitExceeded,
    ResourceInUse,
    ResourceNotFound,
)
from control_plane.domain.quotas import Quotas
from tests.control_plane.messages import campaign_config
from tests.control_plane.world import (
    make_world,
)

VERSION_1 = "arn:aws:personalize:::recipe/aws-user-personalization"


def test_exploration_of_a_campaign_reaches_the_runtimes(world):
    version = world.version(world.solution(world.imported_group(), VERSION_1))
    world.finish_next({"training_hours": 0.01})
    config = {"itemExplorationConfig": {"explorationWeight": "0.7", "explorationItemAgeCutOff": "14"}}

    campaign = world.campaign(version, config=config)

    assert world.assigned()[campaign].campaign_config == campaign_config(config)
    assert world.resources.campaigns.describe(campaign).serving.campaign_config == campaign_config(config)


def test_campaign_that_is_being_created_or_updated_cannot_be_updated(world):
    campaign = world.campaign(world.active_version())
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    world.serve("worker")
    world.resources.campaigns.update(campaign, min_provisioned_tps=2)

    with pytest.raises(ResourceInUse, match="whose update is CREATE PENDING"):
        world.resources.campaigns.update(campaign, min_provisioned_tps=3)


def test_update_without_a_change_is_refused(world):
    with pytest.raises(InvalidInput, match="want solutionVersionArn"):
        world.resources.campaigns.update(world.active_campaign())


def test_update_to_another_solution_is_refused(world):
    campaign = world.active_campaign()

    with pytest.raises(InvalidInput, match="`solutionVersionArn`"):
        world.resources.campaigns.update(campaign, solution_version_arn=world.active_version())


def test_latest_means_the_newest_active_version(world):
    solution = world.solution(world.imported_group())
    with pytest.raises(ResourceNotFound, match="without an ACTIVE version"):
        world.campaign(f"{solution}/$LATEST")
    world.version(solution)
    world.finish_next({})
    world.clock.advance(seconds=1)
    newest = world.version(solution)
    world.finish_next({})
    world.clock.advance(seconds=1)
    world.version(solution)

    campaign = world.campaign(f"{solution}/$LATEST")

    assert world.resources.campaigns.describe(campaign).serving.solution_version_arn == newest


def test_version_in_training_cannot_be_served(world):
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.campaign(world.version(world.solution(world.imported_group())))


def test_campaigns_of_a_group_have_a_quota(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(campaigns_per_group=1))
    version = world.active_version()
    world.campaign(version)

    with pytest.raises(LimitExceeded, match="campaigns_per_group"):
        world.campaign(version)
    world.metadata_store.close()
