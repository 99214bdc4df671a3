"""Operations on recipes, algorithms and feature transformations: those of the catalog, which belong to no account."""

from __future__ import annotations

from control_plane.domain.fields import check_page_size, required
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.domain.recipes import (
    algorithm_arn,
    algorithm_name,
    default_values,
    described_recipe,
    feature_transformation_arn,
    recipe_arn,
    recipe_of_algorithm,
    recipe_of_feature_transformation,
)
from control_plane.domain.states import Status
from control_plane.servicers.control.messages import check_message, enum_text, enum_value, status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional
from protos.tailorbird.control.v1 import algorithm_pb2, common_pb2, feature_transformation_pb2, recipe_pb2
from recipes.catalog import RECIPES
from recipes.spec import RecipeSpec

__all__ = ["AlgorithmMethods", "RecipeMethods"]


class RecipeMethods(Methods):
    """Recipes."""

    def DescribeRecipe(
        self, request: recipe_pb2.DescribeRecipeRequest, context: Context
    ) -> recipe_pb2.DescribeRecipeResponse:
        """Describe a recipe."""
        recipe = described_recipe(required("recipeArn", request.recipe_arn))
        return recipe_pb2.DescribeRecipeResponse(
            recipe=recipe_pb2.Recipe(
                name=recipe.name,
                recipe_arn=recipe_arn(recipe),
                algorithm_arn=algorithm_arn(recipe),
                feature_transformation_arn=feature_transformation_arn(recipe),
                status=status(Status.ACTIVE),
                description=recipe.description,
                creation_date_time=timestamp(recipe.published),
                recipe_type=recipe.recipe_type,
                last_updated_date_time=timestamp(recipe.published),
            )
        )

    def ListRecipes(self, request: recipe_pb2.ListRecipesRequest, context: Context) -> recipe_pb2.ListRecipesResponse:
        """List recipes, oldest first."""
        check_message(request)
        size = check_page_size(optional(request, "max_results"))
        domain = enum_text(common_pb2.Domain.DESCRIPTOR, request.domain)
        scope = f"recipes:{domain}"
        listed = [recipe for recipe in RECIPES.values() if domain in (None, recipe.domain)]
        listed.sort(key=lambda recipe: (recipe.published, recipe_arn(recipe)))
        if request.next_token:
            after = read_token(request.next_token, scope=scope)
            listed = [item for item in listed if (item.published, recipe_arn(item)) > (after.created, after.arn)]
        page, rest = listed[:size], listed[size:]
        last = Position(page[-1].published, recipe_arn(page[-1])) if rest else None
        return recipe_pb2.ListRecipesResponse(
            recipes=[_summary(recipe) for recipe in page],
            next_token=write_token(last, scope=scope) if last else None,
        )


class AlgorithmMethods(Methods):
    """Algorithms and feature transformations: what recipes are made of."""

    def DescribeAlgorithm(
        self, request: algorithm_pb2.DescribeAlgorithmRequest, context: Context
    ) -> algorithm_pb2.DescribeAlgorithmResponse:
        """Describe the algorithm behind a recipe, with the defaults and ranges of its hyperparameters."""
        recipe = recipe_of_algorithm(required("algorithmArn", request.algorithm_arn))
        return algorithm_pb2.DescribeAlgorithmResponse(
            algorithm=algorithm_pb2.Algorithm(
                name=algorithm_name(recipe),
                algorithm_arn=algorithm_arn(recipe),
                default_hyper_parameters=default_values(recipe.hyper_parameters),
                default_hyper_parameter_ranges=_ranges(recipe),
                creation_date_time=timestamp(recipe.published),
                last_updated_date_time=timestamp(recipe.published),
            )
        )

    def DescribeFeatureTransformation(
        self, request: feature_transformation_pb2.DescribeFeatureTransformationRequest, context: Context
    ) -> feature_transformation_pb2.DescribeFeatureTransformationResponse:
        """Describe a feature transformation, with the defaults of its parameters."""
        arn = required("featureTransformationArn", request.feature_transformation_arn)
        recipe = recipe_of_feature_transformation(arn)
        return feature_transformation_pb2.DescribeFeatureTransformationResponse(
            feature_transformation=feature_transformation_pb2.FeatureTransformation(
                name=recipe.feature_transformation,
                feature_transformation_arn=arn,
                default_parameters=default_values(recipe.feature_parameters),
                creation_date_time=timestamp(recipe.published),
                last_updated_date_time=timestamp(recipe.published),
                status=status(Status.ACTIVE),
            )
        )


def _ranges(recipe: RecipeSpec) -> algorithm_pb2.DefaultHyperParameterRanges:
    """Return the ranges of those hyperparameters that have limits or choices."""
    ranges = algorithm_pb2.DefaultHyperParameterRanges()
    for name, parameter in recipe.hyper_parameters.items():
        if parameter.kind == "boolean" or parameter.choices:
            ranges.categorical_hyper_parameter_ranges.add(
                name=name, values=parameter.choices or ("true", "false"), is_tunable=parameter.tunable
            )
        elif parameter.low is None or parameter.high is None:
            continue
        elif parameter.kind == "integer":
            ranges.integer_hyper_parameter_ranges.add(
                name=name, min_value=int(parameter.low), max_value=int(parameter.high), is_tunable=parameter.tunable
            )
        else:
            ranges.continuous_hyper_parameter_ranges.add(
                name=name, min_value=parameter.low, max_value=parameter.high, is_tunable=parameter.tunable
            )
    return ranges


def _summary(recipe: RecipeSpec) -> recipe_pb2.RecipeSummary:
    return recipe_pb2.RecipeSummary(
        name=recipe.name,
        recipe_arn=recipe_arn(recipe),
        status=status(Status.ACTIVE),
        creation_date_time=timestamp(recipe.published),
        last_updated_date_time=timestamp(recipe.published),
        domain=None if recipe.domain is None else enum_value(common_pb2.Domain.DESCRIPTOR, recipe.domain),
    )
