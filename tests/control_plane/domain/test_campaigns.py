"""Checks of campaigns: configurations, versions, provisioned requests."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.campaigns import (
    check_campaign_config,
    check_min_provisioned_tps,
    follows_latest,
    split_version_arn,
)
from recipes.catalog import RECIPES
from tests.control_plane.messages import campaign_config

V2 = RECIPES["aws-user-personalization-v2"]
V1 = RECIPES["aws-user-personalization"]
SEMANTIC = RECIPES["aws-semantic-similarity"]
SOLUTION = "arn:aws:personalize:eu-west-1:123456789012:solution/films"


def test_latest_version_is_distinguished_from_a_version():
    assert split_version_arn(f"{SOLUTION}/$LATEST") == (SOLUTION, True)
    assert split_version_arn(f"{SOLUTION}/0123abcd") == (f"{SOLUTION}/0123abcd", False)
    with pytest.raises(ResourceNotFound, match=r"\$LATEST"):
        split_version_arn(SOLUTION)


@pytest.mark.parametrize(
    ("config", "recipe", "latest", "message"),
    [
        ({"rankingInfluence": {"FRESHNESS": 0.5}}, V2, False, "rankingInfluence"),
        ({"rankingInfluence": {"FRESHNESS": 1.5}}, SEMANTIC, False, "got 1.5, want a number from 0 to 1"),
        ({"rankingInfluence": {"AGE": 0.5}}, SEMANTIC, False, "got 'AGE', want one of FRESHNESS, POPULARITY"),
        ({"syncWithLatestSolutionVersion": True}, V2, False, "LATEST"),
        ({"itemExplorationConfig": {"explorationWeight": "0.3"}}, V2, False, "cannot be configured"),
        ({"itemExplorationConfig": {"explorationWeight": "1.3"}}, V1, False, "from 0 to 1"),
        ({"itemExplorationConfig": {"explorationWeight": "much"}}, V1, False, "from 0 to 1"),
        ({"itemExplorationConfig": {"weight": "1"}}, V1, False, "explorationItemAgeCutOff"),
        ({"itemExplorationConfig": {"explorationItemAgeCutOff": "0"}}, V1, False, "'0', want a number above 0"),
        ({"itemExplorationConfig": {"explorationItemAgeCutOff": "inf"}}, V1, False, "want a number above 0"),
    ],
)
def test_campaign_config_that_does_not_fit_is_refused(config, recipe, latest, message):
    with pytest.raises(InvalidInput, match=message):
        check_campaign_config(campaign_config(config), recipe, latest=latest)


def test_good_campaign_configs_pass():
    check_campaign_config(campaign_config({}), V2, latest=False)
    check_campaign_config(campaign_config({"enableMetadataWithRecommendations": False}), V2, latest=False)
    check_campaign_config(campaign_config({"enableMetadataWithRecommendations": True}), V1, latest=False)
    check_campaign_config(
        campaign_config({"rankingInfluence": {"FRESHNESS": 0.5, "POPULARITY": 1.0}}), SEMANTIC, latest=False
    )
    check_campaign_config(campaign_config({"syncWithLatestSolutionVersion": True}), V2, latest=True)
    exploring = {"explorationWeight": "0.3", "explorationItemAgeCutOff": "0.5"}
    check_campaign_config(campaign_config({"itemExplorationConfig": exploring}), V1, latest=False)
    assert follows_latest(campaign_config({"syncWithLatestSolutionVersion": True}))
    assert not follows_latest(None)


def test_provisioned_requests_are_positive():
    assert check_min_provisioned_tps(None) == 1
    with pytest.raises(InvalidInput, match="minProvisionedTPS"):
        check_min_provisioned_tps(0)


def test_recipes_of_segments_have_no_campaigns():
    with pytest.raises(InvalidInput, match="user segments are made by batch segment jobs"):
        check_campaign_config(campaign_config({}), RECIPES["aws-item-affinity"], latest=False)
