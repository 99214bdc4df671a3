"""Checks of campaigns: the solution version, `campaignConfig` and `minProvisionedTPS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.arn import Arn
from common.errors import ResourceNotFound, invalid
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from recipes.spec import HyperParameter, RecipeSpec

__all__ = [
    "LATEST",
    "check_campaign_config",
    "check_exploration",
    "check_influence",
    "check_min_provisioned_tps",
    "follows_latest",
    "split_version_arn",
]

LATEST: Final = "$LATEST"
_EXPLORATION: Final = {
    "explorationWeight": HyperParameter("float", 0.3, "How often unlikely new items are tried.", low=0, high=1),
    "explorationItemAgeCutOff": HyperParameter("float", 30.0, "Days for which an item is new.", low=0, above=True),
}
_INFLUENCES: Final = ("FRESHNESS", "POPULARITY")


def check_min_provisioned_tps(value: int | None) -> int:
    """Return the provisioned requests per second, 1 when the request has none.

    The number is only stored and shown: throughput depends on how many runtimes there are.

    Raises:
        InvalidInput: It is not positive.
    """
    if value is not None and value < 1:
        raise invalid("minProvisionedTPS", got=value, want="an integer from 1")
    return value or 1


def follows_latest(config: CampaignConfig | None) -> bool:
    """Return whether a campaign moves to each new version of its solution."""
    return config is not None and config.sync_with_latest_solution_version


def split_version_arn(arn: str) -> tuple[str, bool]:
    """Parse the `solutionVersionArn` of a campaign.

    Returns:
        The ARN of a solution and True for `SOLUTION_ARN/$LATEST`; the ARN of a version and False otherwise.

    Raises:
        InvalidInput: The text is no ARN of a solution version.
        ResourceNotFound: It is the ARN of a solution and names no version.
    """
    name = Arn.parse(arn, field="solutionVersionArn", kind="solution").name
    if "/" not in name:
        raise ResourceNotFound(
            f"`solutionVersionArn`: got {arn}, a solution, want one of its versions, or {arn}/{LATEST}"
        )
    if name.endswith(f"/{LATEST}"):
        return arn.removesuffix(f"/{LATEST}"), True
    return arn, False


def check_campaign_config(config: CampaignConfig, recipe: RecipeSpec, *, latest: bool) -> None:
    """Check a campaign's configuration.

    Args:
        config: The configuration; an empty one is the same as none.
        recipe: The recipe of the solution.
        latest: Whether the request names the version as `$LATEST`, or is an update that names none.

    Raises:
        InvalidInput: Something in it is wrong or does not fit the recipe, or the recipe has no campaigns.
    """
    if recipe.kind.operation is None:
        raise invalid(
            "solutionVersionArn",
            got=f"a version of {recipe.name}",
            want="a version whose recipe answers requests; user segments are made by batch segment jobs",
        )
    check_influence(config.ranking_influence, recipe, field="campaignConfig.rankingInfluence")
    if follows_latest(config) and not latest:
        raise invalid(
            "campaignConfig.syncWithLatestSolutionVersion",
            got=True,
            want=f"false, or the solutionVersionArn SOLUTION_ARN/{LATEST}",
        )
    check_exploration(config.item_exploration_config, recipe, field="campaignConfig.itemExplorationConfig")


def check_influence(values: Mapping[str, float], recipe: RecipeSpec, *, field: str) -> None:
    """Check how much popularity and freshness influence an order.

    Args:
        values: `rankingInfluence`.
        recipe: The recipe of the solution.
        field: Where they stand in the request.

    Raises:
        InvalidInput: The recipe takes none, or a key or value is none of those that exist.
    """
    if values and "rankingInfluence" not in recipe.campaign_options:
        raise invalid(field, got=dict(values), want=f"none with {recipe.name}")
    for key, value in values.items():
        if key not in _INFLUENCES:
            raise invalid(f"{field}.{key}", got=key, want=f"one of {', '.join(_INFLUENCES)}")
        if not 0.0 <= value <= 1.0:
            raise invalid(f"{field}.{key}", got=value, want="a number from 0 to 1")


def check_exploration(values: Mapping[str, str], recipe: RecipeSpec, *, field: str) -> None:
    """Check how new items are explored.

    Args:
        values: `itemExplorationConfig`.
        recipe: The recipe.
        field: Where they stand in the request.

    Raises:
        InvalidInput: Exploration cannot be configured, or a key or value is none of those that exist.
    """
    if values and recipe.exploration != "configured":
        raise invalid(field, got=dict(values), want=f"none: exploration cannot be configured with {recipe.name}")
    for key, text in values.items():
        if key not in _EXPLORATION:
            raise invalid(f"{field}.{key}", got=key, want=f"one of {', '.join(_EXPLORATION)}")
        if not _EXPLORATION[key].accepts(text):
            raise invalid(f"{field}.{key}", got=text, want=_EXPLORATION[key].want)
