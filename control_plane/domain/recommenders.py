"""Checks of recommenders: the use case, `recommenderConfig`, and what becomes of a configuration that is updated."""

from __future__ import annotations

from typing import Final

from common.errors import invalid
from control_plane.domain.campaigns import check_exploration
from control_plane.domain.recipes import described_recipe
from control_plane.domain.solutions import check_training_columns
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.control.v1.recommender_pb2 import RecommenderConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from recipes.spec import RecipeSpec

__all__ = [
    "COLUMNS_FIELD",
    "check_recommender_config",
    "served_with",
    "trained_on",
    "updated_config",
    "use_case",
]

COLUMNS_FIELD: Final = "recommenderConfig.trainingDataConfig"
_EXPLORATION: Final = "itemExplorationConfig"
_RATE: Final = "minRecommendationRequestsPerSecond"
_DEFAULT_RATE: Final = 1


def use_case(recipe_arn: str, *, group_arn: str, domain: str | None) -> RecipeSpec:
    """Return the recipe of a recommender.

    Args:
        recipe_arn: ARN of the recipe.
        group_arn: Dataset group of the recommender.
        domain: Domain of that group; None for a custom one.

    Raises:
        InvalidInput: Not the ARN of a recipe, or not one of the group's domain.
        ResourceNotFound: No such recipe.
    """
    recipe = described_recipe(recipe_arn)
    if domain is None:
        raise invalid("datasetGroupArn", got=group_arn, want="a domain dataset group: this one has no domain")
    if recipe.domain != domain:
        kind = "for solutions" if recipe.domain is None else f"of domain {recipe.domain}"
        raise invalid("recipeArn", got=f"{recipe_arn}, a recipe {kind}", want=f"a recipe of domain {domain}")
    return recipe


def check_recommender_config(config: RecommenderConfig, recipe: RecipeSpec) -> None:
    """Check a configuration, without the schemas of the datasets.

    Raises:
        InvalidInput: Something in it is wrong or does not fit the recipe.
    """
    if config.HasField("min_recommendation_requests_per_second"):
        rate = config.min_recommendation_requests_per_second
        if rate < 1:
            raise invalid(f"recommenderConfig.{_RATE}", got=rate, want="an integer from 1")
    check_exploration(config.item_exploration_config, recipe, field=f"recommenderConfig.{_EXPLORATION}")
    check_training_columns(config.training_data_config, field=COLUMNS_FIELD)


def updated_config(before: RecommenderConfig, changes: RecommenderConfig) -> RecommenderConfig:
    """Return a configuration with the members of another in the place of its own; those left out stay.

    An update that names only a rate would otherwise train anew, for it names no columns. The first configuration
    of a recommender is an update of an empty one, and gets the default rate.
    """
    config = RecommenderConfig()
    config.CopyFrom(before)
    if changes.item_exploration_config or _EXPLORATION in changes.empty_members:
        config.ClearField("item_exploration_config")
        config.item_exploration_config.update(changes.item_exploration_config)
        config.empty_members[:] = changes.empty_members
    if changes.HasField("min_recommendation_requests_per_second"):
        config.min_recommendation_requests_per_second = changes.min_recommendation_requests_per_second
    elif not config.HasField("min_recommendation_requests_per_second"):
        config.min_recommendation_requests_per_second = _DEFAULT_RATE
    if changes.HasField("training_data_config"):
        config.training_data_config.CopyFrom(changes.training_data_config)
    if changes.HasField("enable_metadata_with_recommendations"):
        config.enable_metadata_with_recommendations = changes.enable_metadata_with_recommendations
    return config


def trained_on(config: RecommenderConfig) -> SolutionConfig:
    """Return what a recommender is trained by, as solutions configure it."""
    if not config.HasField("training_data_config"):
        return SolutionConfig()
    return SolutionConfig(training_data_config=config.training_data_config)


def served_with(config: RecommenderConfig) -> CampaignConfig:
    """Return what a recommender is served by, as campaigns configure it."""
    return CampaignConfig(
        item_exploration_config=config.item_exploration_config,
        enable_metadata_with_recommendations=config.enable_metadata_with_recommendations or None,
    )
