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
from recipes.catalog import Recipe
from recipes.domains import recipes_of_domains
from recipes.models.action_propensity.config import ActionPropensityConfig
from recipes.models.cooccurrence.config import CooccurrenceConfig
from recipes.models.ease.config import EASEConfig
from recipes.models.gru.config import GRUColdstartConfig, GRUConfig, LargeGRUConfig
from recipes.models.lsa.config import LSAConfig
from recipes.models.popularity.config import PopularityConfig
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.trending.config import TrendingConfig
from recipes.models.user_segments.config import SegmentsConfig
from recipes.ports import FitterFactory, ItemScorer

__all__ = ["RECIPES", "fitter", "recipe", "scorer_loader"]

_POPULARITY = Recipe(
    name="aws-popularity-count",
    family="popularity",
    recipe_type="POPULAR_ITEMS",
    config=PopularityConfig,
    fitter="recipes.models.popularity.fit:PopularityFitter",
    scorer="recipes.models.popularity.score:load",
)
_TRENDING = Recipe(
    name="aws-trending-now",
    family="trending",
    recipe_type="POPULAR_ITEMS",
    config=TrendingConfig,
    fitter="recipes.models.trending.fit:TrendingFitter",
    scorer="recipes.models.trending.score:load",
    counts_events=True,
    fit_metrics=("trend_prediction_accuracy",),
)
_SIMS = Recipe(
    name="aws-sims",
    family="item_to_item",
    recipe_type="RELATED_ITEMS",
    config=CooccurrenceConfig,
    fitter="recipes.models.cooccurrence.fit:CooccurrenceFitter",
    scorer="recipes.components.item_neighbors:load",
)
_SEMANTIC_SIMILARITY = Recipe(
    name="aws-semantic-similarity",
    family="semantic_similarity",
    recipe_type="RELATED_ITEMS",
    config=LSAConfig,
    fitter="recipes.models.lsa.fit:LSAFitter",
    scorer="recipes.models.lsa.score:load",
    learns_from="items",
)
_NEXT_BEST_ACTION = Recipe(
    name="aws-next-best-action",
    family="next_best_action",
    recipe_type="PERSONALIZED_ACTIONS",
    config=ActionPropensityConfig,
    fitter="recipes.models.action_propensity.fit:ActionPropensityFitter",
    scorer="recipes.models.action_propensity.score:load",
    returns_scores=True,
    uses_history=True,
    uses_users=True,
)
_ITEM_AFFINITY = Recipe(
    name="aws-item-affinity",
    family="segments",
    recipe_type="USER_SEGMENTATION",
    config=SegmentsConfig,
    fitter="recipes.models.user_segments.fit:ItemAffinityFitter",
    scorer="recipes.models.user_segments.score:load_segments",
)
_TRANSFORMER = Recipe(
    name="aws-user-personalization-v2",
    family="user_personalization",
    recipe_type="USER_PERSONALIZATION",
    config=SASRecConfig,
    fitter="recipes.models.sasrec.fit:SASRecFitter",
    scorer="recipes.models.sasrec.score:load",
    returns_scores=True,
    uses_history=True,
    uses_context=True,
    uses_users=True,
)
_HRNN = Recipe(
    name="aws-hrnn",
    family="hrnn",
    recipe_type="USER_PERSONALIZATION",
    config=GRUConfig,
    fitter="recipes.models.gru.fit:GRUFitter",
    scorer="recipes.models.gru.score:load",
    returns_scores=True,
    uses_history=True,
)
_HRNN_METADATA = replace(
    _HRNN,
    name="aws-hrnn-metadata",
    fitter="recipes.models.gru.fit:GRUMetadataFitter",
    uses_context=True,
    uses_users=True,
)
_LARGE_HRNN = replace(_HRNN_METADATA, config=LargeGRUConfig, fitter="recipes.models.gru.fit:GRUTextFitter")

_CUSTOM = {
    declared.name: declared
    for declared in (
        _POPULARITY,
        _TRENDING,
        _SIMS,
        replace(
            _SIMS,
            name="aws-similar-items",
            config=EASEConfig,
            fitter="recipes.models.ease.fit:EASEFitter",
        ),
        _NEXT_BEST_ACTION,
        _ITEM_AFFINITY,
        replace(
            _ITEM_AFFINITY,
            name="aws-item-attribute-affinity",
            fitter="recipes.models.user_segments.fit:AttributeAffinityFitter",
            scorer="recipes.models.user_segments.score:load_attribute_segments",
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
            config=GRUColdstartConfig,
            fitter="recipes.models.gru.fit:GRUColdstartFitter",
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


def scorer_loader(declared: Recipe) -> Callable[[Path], ItemScorer]:
    """Load the serving side of a recipe: a function that opens the folder a scorer was saved in.

    The returned function raises CorruptArtifact when files are missing or do not belong together.
    """
    return cast("Callable[[Path], ItemScorer]", _resolve(declared.scorer))


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
