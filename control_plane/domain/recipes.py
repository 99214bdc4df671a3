"""Recipes as callers see them: their ARNs, which of them exist, and checks of hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.arn import Arn, ArnFactory
from common.errors import invalid
from control_plane.domain.fields import does_not_exist
from recipes.catalog import RECIPES
from recipes.spec import HyperParameter, RecipeSpec

__all__ = [
    "algorithm_arn",
    "algorithm_name",
    "check_feature_parameters",
    "check_hyper_parameters",
    "default_values",
    "described_recipe",
    "feature_transformation_arn",
    "recipe_arn",
    "recipe_of",
    "recipe_of_algorithm",
    "recipe_of_feature_transformation",
    "retrained_on",
    "trainable_recipe",
]


def recipe_arn(recipe: RecipeSpec) -> str:
    """Return the ARN of a recipe."""
    return ArnFactory.make_global("recipe", recipe.name)


def recipe_of(arn: str | None) -> RecipeSpec | None:
    """Return the recipe with an ARN that a row holds; None where AutoML chooses it."""
    return None if arn is None else RECIPES[Arn.parse(arn, field="recipeArn").name]


def retrained_on(arn: str | None) -> str:
    """Return the type of dataset whose new rows are a reason to train a solution once more.

    Args:
        arn: ARN of its recipe; None where AutoML chooses it.
    """
    recipe = recipe_of(arn)
    return "INTERACTIONS" if recipe is None else recipe.retrained_on


def algorithm_name(recipe: RecipeSpec) -> str:
    """Return Personalize's name of the algorithm behind a recipe."""
    return recipe.algorithm or recipe.name


def algorithm_arn(recipe: RecipeSpec) -> str:
    """Return the ARN of the algorithm behind a recipe."""
    return ArnFactory.make_global("algorithm", algorithm_name(recipe))


def recipe_of_algorithm(arn: str) -> RecipeSpec:
    """Return the recipe with an algorithm.

    Raises:
        InvalidInput: Not the ARN of an algorithm.
        ResourceNotFound: No such algorithm.
    """
    Arn.parse(arn, field="algorithmArn", kind="algorithm")
    return _first((recipe for recipe in RECIPES.values() if algorithm_arn(recipe) == arn), arn, field="algorithmArn")


def recipe_of_feature_transformation(arn: str) -> RecipeSpec:
    """Return the first recipe with a feature transformation, which several may share with the same parameters.

    Raises:
        InvalidInput: Not the ARN of a feature transformation.
        ResourceNotFound: No such feature transformation.
    """
    field = "featureTransformationArn"
    Arn.parse(arn, field=field, kind="feature-transformation")
    sharing = [recipe for recipe in RECIPES.values() if feature_transformation_arn(recipe) == arn]
    # Recipes that count take no parameters, whatever those of the others are.
    return _first(sorted(sharing, key=lambda recipe: not recipe.feature_parameters), arn, field=field)


def default_values(parameters: Mapping[str, HyperParameter]) -> dict[str, str]:
    """Return the defaults of parameters as text; those that are worked out from the data are left out."""
    return {
        name: str(parameter.default).lower() if isinstance(parameter.default, bool) else str(parameter.default)
        for name, parameter in parameters.items()
        if parameter.default is not None
    }


def _first(recipes: Iterable[RecipeSpec], arn: str, *, field: str) -> RecipeSpec:
    for recipe in recipes:
        return recipe
    raise does_not_exist(arn, field=field)


def feature_transformation_arn(recipe: RecipeSpec) -> str | None:
    """Return the ARN of a recipe's feature transformation; None when it has none."""
    name = recipe.feature_transformation
    return ArnFactory.make_global("feature-transformation", name) if name else None


def check_hyper_parameters(recipe: RecipeSpec, values: Mapping[str, str]) -> None:
    """Check `algorithmHyperParameters`.

    Raises:
        InvalidInput: A key that the recipe does not have, or a value out of range.
    """
    _check_parameters(
        values, recipe.hyper_parameters, member="algorithmHyperParameters", none="the recipe has no hyperparameters"
    )


def check_feature_parameters(recipe: RecipeSpec, values: Mapping[str, str]) -> None:
    """Check `featureTransformationParameters`.

    Raises:
        InvalidInput: A key that the recipe does not have, or a value out of range.
    """
    _check_parameters(
        values, recipe.feature_parameters, member="featureTransformationParameters", none=f"{recipe.name} has none"
    )


def _check_parameters(
    values: Mapping[str, str], parameters: Mapping[str, HyperParameter], *, member: str, none: str
) -> None:
    for key, value in values.items():
        field = f"solutionConfig.{member}.{key}"
        parameter = parameters.get(key)
        if parameter is None:
            raise invalid(field, got=key, want=f"one of {', '.join(parameters)}" if parameters else f"none: {none}")
        if not parameter.accepts(value):
            raise invalid(field, got=value, want=parameter.want)


def described_recipe(arn: str) -> RecipeSpec:
    """Return the recipe with an ARN, for solutions or for recommenders.

    Raises:
        InvalidInput: Not the ARN of a recipe.
        ResourceNotFound: No such recipe.
    """
    name = Arn.parse(arn, field="recipeArn", kind="recipe").name
    recipe = RECIPES.get(name)
    if recipe is None or recipe_arn(recipe) != arn:
        raise does_not_exist(arn, field="recipeArn", extra=f"Recipes of solutions are {_trainable()}.")
    return recipe


def trainable_recipe(arn: str) -> RecipeSpec:
    """Return the recipe of a solution, from its ARN.

    Raises:
        InvalidInput: Not the ARN of a recipe, or of one that serves recommenders only.
        ResourceNotFound: No such recipe.
    """
    recipe = described_recipe(arn)
    if recipe.domain is not None:
        raise invalid(
            "recipeArn",
            got=arn,
            want=f"a recipe of solutions: {recipe.name} is for recommenders of {recipe.domain} only",
        )
    return recipe


def _trainable() -> str:
    return ", ".join(recipe_arn(recipe) for recipe in RECIPES.values() if recipe.domain is None)
