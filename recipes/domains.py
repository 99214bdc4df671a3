"""The use cases of domain dataset groups: custom recipes that are told what to learn from, for recommenders only.

Personalize names them after what a page shows. None has hyperparameters of its own or returns scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from recipes.catalog import Domain, Recipe
from recipes.models.baskets.config import BasketsConfig

__all__ = ["recipes_of_domains"]

_POPULARITY: Final = "aws-popularity-count"
_SIMILAR: Final = "aws-similar-items"
_PERSONAL: Final = "aws-user-personalization-v2"
_TRENDING: Final = "aws-trending-now"


def recipes_of_domains(custom: Mapping[str, Recipe]) -> tuple[Recipe, ...]:
    """Declare the ten use cases.

    Args:
        custom: Recipes of custom solutions by name.
    """

    def declare(
        name: str, domain: Domain, like: str, *, event_type: str | None = None, needs_items: bool = False
    ) -> Recipe:
        return replace(
            custom[like],
            name=name,
            returns_scores=False,
            domain=domain,
            event_type=event_type,
            needs_items=needs_items,
        )

    def together(recipe: Recipe, fitter: str) -> Recipe:
        return replace(recipe, config=BasketsConfig, fitter=f"recipes.models.baskets.fit:{fitter}")

    bought = declare("aws-ecomm-frequently-bought-together", "ECOMMERCE", _SIMILAR, event_type="Purchase")
    viewed = declare("aws-ecomm-customers-who-viewed-x-also-viewed", "ECOMMERCE", _SIMILAR, event_type="View")
    return (
        declare("aws-ecomm-popular-items-by-views", "ECOMMERCE", _POPULARITY, event_type="View"),
        declare("aws-ecomm-popular-items-by-purchases", "ECOMMERCE", _POPULARITY, event_type="Purchase"),
        together(bought, "BoughtTogetherFitter"),
        together(viewed, "ViewedTogetherFitter"),
        declare("aws-ecomm-recommended-for-you", "ECOMMERCE", _PERSONAL),
        declare("aws-vod-because-you-watched-x", "VIDEO_ON_DEMAND", _SIMILAR, event_type="Watch"),
        declare("aws-vod-more-like-x", "VIDEO_ON_DEMAND", _SIMILAR, needs_items=True),
        declare("aws-vod-most-popular", "VIDEO_ON_DEMAND", _POPULARITY, event_type="Watch"),
        declare("aws-vod-trending-now", "VIDEO_ON_DEMAND", _TRENDING),
        declare("aws-vod-top-picks", "VIDEO_ON_DEMAND", _PERSONAL),
    )
