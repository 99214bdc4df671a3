"""The one place where a recipe's code is loaded, by the paths of its declaration.

Paths are imported on demand: an import statement, even inside of a function, would make JAX reachable from the runtime,
which does without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from recipes.config import RecipeConfig
from recipes.ports import FitProgress, Fitter, FitterFactory, ItemScorer, ignore_progress
from recipes.spec import RecipeSpec

<<<<<<< HEAD
__all__ = ["config_class", "make_fitter", "open_scorer", "read_config"]
=======
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
    fitter="recipes.models.gru.fit:make_metadata_fitter",
    uses_context=True,
    uses_users=True,
)
_LARGE_HRNN = replace(_HRNN_METADATA, config=LargeGRUConfig, fitter="recipes.models.gru.fit:make_text_fitter")

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
            fitter="recipes.models.gru.fit:make_coldstart_fitter",
        ),
    )
}

#: Those of custom solutions, then the use cases of domains.
RECIPES = _CUSTOM | {declared.name: declared for declared in recipes_of_domains(_CUSTOM)}
>>>>>>> 84e6485 (Compose the sequence models' fits of values: network, loss, optimiser, stopping rule)


def config_class(spec: RecipeSpec) -> type[RecipeConfig]:
    """Return the class of a recipe's hyperparameters."""
    return cast("type[RecipeConfig]", _resolve(spec.config))


def read_config(spec: RecipeSpec, hyperparameters: Mapping[str, str]) -> RecipeConfig:
    """Read a recipe's hyperparameters, with every default.

    Args:
        spec: The recipe.
        hyperparameters: Strings by name, as they travel in the API.

    Raises:
        InvalidInput: A name is not one of this recipe's, or a value is out of its range.
    """
    return config_class(spec).from_hyperparameters(hyperparameters)


def make_fitter(
    spec: RecipeSpec, hyperparameters: Mapping[str, str], *, seed: int, progress: FitProgress = ignore_progress
) -> Fitter:
    """Load the learning side of a recipe, and with it JAX where the recipe needs it, for one training.

    Args:
        spec: The recipe.
        hyperparameters: Strings by name, as they travel in the API.
        seed: Of every random number of the fit.
        progress: Is told how far the fit is.

    Raises:
        InvalidInput: A name is not one of this recipe's, or a value is out of its range.
    """
    factory = cast("FitterFactory", _resolve(spec.fitter))
    return factory(read_config(spec, hyperparameters), seed=seed, progress=progress)


def open_scorer(spec: RecipeSpec, folder: Path) -> ItemScorer:
    """Open the serving side of a recipe from the folder that it was saved in.

    Raises:
        CorruptArtifact: Files are missing or do not belong together.
    """
    return cast("Callable[[Path], ItemScorer]", _resolve(spec.scorer))(folder)


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
