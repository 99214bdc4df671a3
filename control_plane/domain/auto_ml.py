"""Which recipes AutoML tries for a solution, and what such a solution may configure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from common.errors import invalid
from control_plane.domain.recipes import recipe_arn, trainable_recipe
from control_plane.domain.schemas import DatasetType
from control_plane.domain.tuning import check_tuning
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1.jobs_pb2 import RecipeSearch, RecipeToTry
from recipes.auto_ml import AUTO_ML_METRICS, AUTO_ML_RECIPES, DEFAULT_AUTO_ML_METRIC, default_candidates
from recipes.catalog import RECIPES

__all__ = ["check_auto_ml", "recipe_search"]

_FIELD: Final = "solutionConfig.autoMLConfig"
_MAX_RECIPES: Final = 100
#: What belongs to one recipe, by the fields of the message.
_OF_ONE_RECIPE: Final = (
    "algorithm_hyper_parameters",
    "feature_transformation_parameters",
    "hpo_config",
    "events_config",
    "optimization_objective",
)


def check_auto_ml(config: SolutionConfig) -> None:
    """Check the configuration of a solution whose recipe AutoML chooses.

    Raises:
        InvalidInput: The metric cannot decide, a recipe cannot be chosen, or something is configured that belongs to
            one recipe: Personalize ignores it, and something else would be trained than the caller wants.
        ResourceNotFound: A recipe does not exist.
    """
    auto_ml = config.auto_ml_config
    if auto_ml.HasField("metric_name") and auto_ml.metric_name not in AUTO_ML_METRICS:
        raise invalid(f"{_FIELD}.metricName", got=auto_ml.metric_name, want=f"one of {', '.join(AUTO_ML_METRICS)}")
    if len(auto_ml.recipe_list) > _MAX_RECIPES:
        raise invalid(f"{_FIELD}.recipeList", got=f"{len(auto_ml.recipe_list)} recipes", want=f"at most {_MAX_RECIPES}")
    for arn in auto_ml.recipe_list:
        recipe = trainable_recipe(arn)
        if recipe.name not in AUTO_ML_RECIPES:
            fitting = ", ".join(recipe_arn(RECIPES[name]) for name in AUTO_ML_RECIPES)
            raise invalid(f"{_FIELD}.recipeList", got=arn, want=f"recipes that recommend to a user: {fitting}")
    for field, _ in config.ListFields():
        if field.name in _OF_ONE_RECIPE:
            got = "a configuration"
            raise invalid(f"solutionConfig.{field.json_name}", got=got, want="none beside performAutoML true")


def recipe_search(config: SolutionConfig, dataset_types: Collection[str], *, perform_hpo: bool) -> RecipeSearch:
    """Return which recipes are tried, the simplest first, and by which metric.

    Args:
        config: The configuration, already checked.
        dataset_types: Types of the datasets that the solution can be trained on.
        perform_hpo: Whether the hyperparameters of each recipe are tuned before it is measured.
    """
    auto_ml = config.auto_ml_config
    named = {trainable_recipe(arn).name for arn in auto_ml.recipe_list}
    has_columns = any(kind in dataset_types for kind in (DatasetType.ITEMS, DatasetType.USERS))
    names = [name for name in AUTO_ML_RECIPES if name in named] or default_candidates(has_columns=has_columns)
    return RecipeSearch(
        candidates=_candidates(names, perform_hpo=perform_hpo),
        metric_name=auto_ml.metric_name or DEFAULT_AUTO_ML_METRIC,
    )


def _candidates(names: Collection[str], *, perform_hpo: bool) -> Iterator[RecipeToTry]:
    for name in names:
        recipe = RECIPES[name]
        tunes = perform_hpo and bool(recipe.tunable_parameters)
        tuning = check_tuning(recipe, SolutionConfig(), perform_hpo=True) if tunes else None
        yield RecipeToTry(recipe=name, tuning=tuning)
