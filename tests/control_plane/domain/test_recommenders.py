"""Checks of recommenders: the use case, configurations, and what becomes of them by an update."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.recipes import recipe_arn
from control_plane.domain.recommenders import (
    check_recommender_config,
    served_with,
    trained_on,
    updated_config,
    use_case,
)
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from recipes.catalog import RECIPES
from tests.control_plane.messages import recommender_config, solution_config

GROUP = "arn:aws:personalize:eu-west-1:123456789012:dataset-group/shop"
VIEWS = RECIPES["aws-ecomm-popular-items-by-views"]
USE_CASES = [recipe for recipe in RECIPES.values() if recipe.domain is not None]
PERSONALIZED = {"aws-ecomm-recommended-for-you", "aws-vod-top-picks"}
OTHER_DOMAIN = {"ECOMMERCE": "VIDEO_ON_DEMAND", "VIDEO_ON_DEMAND": "ECOMMERCE"}


@pytest.mark.parametrize("recipe", USE_CASES, ids=lambda recipe: recipe.name)
def test_use_cases_are_for_groups_of_their_domain(recipe):
    arn = recipe_arn(recipe)

    assert use_case(arn, group_arn=GROUP, domain=recipe.domain) is recipe
    with pytest.raises(InvalidInput, match=f"`recipeArn`: got .*{recipe.name}, a recipe of domain {recipe.domain}"):
        use_case(arn, group_arn=GROUP, domain=OTHER_DOMAIN[recipe.domain])
    with pytest.raises(InvalidInput, match=r"`datasetGroupArn`: got .*, want a domain dataset group"):
        use_case(arn, group_arn=GROUP, domain=None)


def test_recipes_of_solutions_are_none_of_recommenders():
    with pytest.raises(InvalidInput, match="a recipe for solutions', want a recipe of domain ECOMMERCE"):
        use_case(recipe_arn(RECIPES["aws-sims"]), group_arn=GROUP, domain="ECOMMERCE")
    with pytest.raises(ResourceNotFound):
        use_case("arn:aws:personalize:::recipe/aws-ecomm-miracle", group_arn=GROUP, domain="ECOMMERCE")


@pytest.mark.parametrize("recipe", USE_CASES, ids=lambda recipe: recipe.name)
def test_exploration_is_for_the_personalized_use_cases(recipe):
    config = recommender_config({"itemExplorationConfig": {"explorationWeight": "0.3"}})

    if recipe.name in PERSONALIZED:
        check_recommender_config(config, recipe)
    else:
        with pytest.raises(InvalidInput, match=r"`recommenderConfig.itemExplorationConfig`: .* cannot be configured"):
            check_recommender_config(config, recipe)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"minRecommendationRequestsPerSecond": 0}, "`recommenderConfig.minRecommendationRequestsPerSecond`: got 0"),
        (
            {"trainingDataConfig": {"excludedDatasetColumns": {"INTERACTIONS": ["EVENT_TYPE"]}}},
            "`recommenderConfig.trainingDataConfig.excludedDatasetColumns.INTERACTIONS`",
        ),
        (
            {"trainingDataConfig": {"excludedDatasetColumns": {"FILMS": ["GENRES"]}}},
            "FILMS",
        ),
        (
            {
                "trainingDataConfig": {
                    "excludedDatasetColumns": {"ITEMS": ["GENRES"]},
                    "includedDatasetColumns": {"ITEMS": ["PRICE"]},
                }
            },
            "`recommenderConfig.trainingDataConfig.includedDatasetColumns.ITEMS`",
        ),
    ],
)
def test_configurations_that_do_not_fit_are_refused(config, message):
    with pytest.raises(InvalidInput, match=message):
        check_recommender_config(recommender_config(config), VIEWS)


def test_what_an_update_leaves_out_stays():
    columns = {"trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}}}
    before = recommender_config({**columns, "itemExplorationConfig": {"explorationWeight": "0.3"}})

    changed = updated_config(before, recommender_config({"minRecommendationRequestsPerSecond": 4}))

    assert changed.min_recommendation_requests_per_second == 4
    assert changed.training_data_config == before.training_data_config
    assert dict(changed.item_exploration_config) == {"explorationWeight": "0.3"}
    assert not before.HasField("min_recommendation_requests_per_second")


def test_empty_members_of_an_update_empty_those_of_before():
    before = recommender_config(
        {
            "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}},
            "itemExplorationConfig": {"explorationWeight": "0.3"},
        }
    )

    changed = updated_config(before, recommender_config({"itemExplorationConfig": {}, "trainingDataConfig": {}}))

    assert changed == recommender_config(
        {"itemExplorationConfig": {}, "trainingDataConfig": {}, "minRecommendationRequestsPerSecond": 1}
    )


def test_a_configuration_is_split_into_training_and_serving():
    columns = {"trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}}}
    exploration = {"itemExplorationConfig": {"explorationWeight": "0.3"}}
    config = recommender_config({**columns, **exploration, "minRecommendationRequestsPerSecond": 2})

    assert trained_on(config) == solution_config(columns)
    assert served_with(config) == CampaignConfig(item_exploration_config={"explorationWeight": "0.3"})
    assert trained_on(recommender_config({})) == solution_config({})
