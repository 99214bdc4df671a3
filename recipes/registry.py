"""All recipes by name, and the one place where a recipe's code is loaded.

Fitters and scorers are named by strings and imported on demand: an import statement, even inside of a function, would
make JAX reachable from the runtime, which does without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from common.errors import ResourceNotFound
from recipes.domains import recipes_of_domains
from recipes.hrnn.config import HrnnColdstartConfig, HrnnConfig, LargeHrnnConfig
from recipes.interface import FitterFactory, Recipe, Scorer
from recipes.item_to_item.config import SimilarItemsConfig, SimsConfig
from recipes.next_best_action.config import NextBestActionConfig
from recipes.popularity.config import PopularityConfig
from recipes.segments.config import SegmentsConfig
from recipes.semantic_similarity.config import SemanticSimilarityConfig
from recipes.trending.config import TrendingConfig
from recipes.user_personalization.config import UserPersonalizationConfig

__all__ = ["RECIPES", "fitter", "recipe", "scorer_loader"]

_POPULARITY = Recipe(
    name="aws-popularity-count",
    family="popularity",
    recipe_type="POPULAR_ITEMS",
    config=PopularityConfig,
    fitter="recipes.popularity.fit:PopularityFitter",
    scorer="recipes.popularity.score:load",
)
_TRENDING = Recipe(
    name="aws-trending-now",
    family="trending",
    recipe_type="POPULAR_ITEMS",
    config=TrendingConfig,
    fitter="recipes.trending.fit:TrendingFitter",
    scorer="recipes.trending.score:load",
    counts_events=True,
    fit_metrics=("trend_prediction_accuracy",),
)
_SIMS = Recipe(
    name="aws-sims",
    family="item_to_item",
    recipe_type="RELATED_ITEMS",
    config=SimsConfig,
    fitter="recipes.item_to_item.sims:SimsFitter",
    scorer="recipes.item_to_item.score:load",
)
_SEMANTIC_SIMILARITY = Recipe(
    name="aws-semantic-similarity",
    family="semantic_similarity",
    recipe_type="RELATED_ITEMS",
    config=SemanticSimilarityConfig,
    fitter="recipes.semantic_similarity.fit:SemanticSimilarityFitter",
    scorer="recipes.semantic_similarity.score:load",
    learns_from="items",
)
_NEXT_BEST_ACTION = Recipe(
    name="aws-next-best-action",
    family="next_best_action",
    recipe_type="PERSONALIZED_ACTIONS",
    config=NextBestActionConfig,
    fitter="recipes.next_best_action.fit:NextBestActionFitter",
    scorer="recipes.next_best_action.score:load",
    returns_scores=True,
    uses_history=True,
    uses_users=True,
)
_ITEM_AFFINITY = Recipe(
    name="aws-item-affinity",
    family="segments",
    recipe_type="USER_SEGMENTATION",
    config=SegmentsConfig,
    fitter="recipes.segments.fit:ItemAffinityFitter",
    scorer="recipes.segments.score:load_segments",
)
_TRANSFORMER = Recipe(
    name="aws-user-personalization-v2",
    family="user_personalization",
    recipe_type="USER_PERSONALIZATION",
    config=UserPersonalizationConfig,
    fitter="recipes.user_personalization.fit:UserPersonalizationFitter",
    scorer="recipes.user_personalization.score:load",
    returns_scores=True,
    uses_history=True,
    uses_context=True,
    uses_users=True,
)
_HRNN = Recipe(
    name="aws-hrnn",
    family="hrnn",
    recipe_type="USER_PERSONALIZATION",
    config=HrnnConfig,
    fitter="recipes.hrnn.fit:HrnnFitter",
    scorer="recipes.hrnn.score:load",
    returns_scores=True,
    uses_history=True,
)
_HRNN_METADATA = replace(
    _HRNN,
    name="aws-hrnn-metadata",
    fitter="recipes.hrnn.fit:HrnnMetadataFitter",
    uses_context=True,
    uses_users=True,
)
_LARGE_HRNN = replace(_HRNN_METADATA, config=LargeHrnnConfig, fitter="recipes.hrnn.fit:HrnnTextFitter")

_CUSTOM = {
    declared.name: declared
    for declared in (
        _POPULARITY,
        _TRENDING,
        _SIMS,
        replace(
            _SIMS,
            name="aws-similar-items",
            config=SimilarItemsConfig,
            fitter="recipes.item_to_item.similar_items:SimilarItemsFitter",
        ),
        _NEXT_BEST_ACTION,
        _ITEM_AFFINITY,
        replace(
            _ITEM_AFFINITY,
            name="aws-item-attribute-affinity",
            fitter="recipes.segments.fit:AttributeAffinityFitter",
            scorer="recipes.segments.score:load_attribute_segments",
        ),
        _SEMANTIC_SIMILARITY,
        replace(_TRANSFORMER, exploration="managed"),
        replace(_TRANSFORMER, name="aws-personalized-ranking-v2", recipe_type="PERSONALIZED_RANKING"),
        replace(_LARGE_HRNN, name="aws-user-personalization", exploration="configured"),
        replace(_LARGE_HRNN, name="aws-personalized-ranking", recipe_type="PERSONALIZED_RANKING"),
        _HRNN,
        _HRNN_METADATA,
        replace(
            _HRNN_METADATA,
            name="aws-hrnn-coldstart",
            config=HrnnColdstartConfig,
            fitter="recipes.hrnn.fit:HrnnColdstartFitter",
        ),
    )
}

#: Those of custom solutions, then the use cases of domains.
RECIPES = _CUSTOM | {declared.name: declared for declared in recipes_of_domains(_CUSTOM)}


def recipe(name: str) -> Recipe:
    """Return the declaration of a recipe.

    Raises:
        ResourceNotFound: No recipe that is built has this name.
    """
    found = RECIPES.get(name)
    if found is None:
        raise ResourceNotFound(f"`recipe`: got {name!r}, want one of {', '.join(sorted(RECIPES))}")
    return found


def fitter(declared: Recipe) -> FitterFactory:
    """Load the learning side of a recipe, and with it JAX where the recipe needs it."""
    return cast("FitterFactory", _resolve(declared.fitter))


def scorer_loader(declared: Recipe) -> Callable[[Path], Scorer]:
    """Load the serving side of a recipe: a function that opens the folder a scorer was saved in.

    The returned function raises CorruptArtifact when files are missing or do not belong together.
    """
    return cast("Callable[[Path], Scorer]", _resolve(declared.scorer))


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
