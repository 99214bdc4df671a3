"""Operations on recipes, which are those of the catalog and belong to no account."""

from __future__ import annotations

from control_plane.domain.fields import check_page_size, required
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.domain.recipes import algorithm_arn, described_recipe, feature_transformation_arn, recipe_arn
from control_plane.domain.states import Status
from control_plane.servicers.control.messages import check_message, enum_text, enum_value, status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional
from protos.tailorbird.control.v1 import common_pb2, recipe_pb2
from recipes.catalog import RECIPES
from recipes.spec import RecipeSpec

__all__ = ["RecipeMethods"]


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


def _summary(recipe: RecipeSpec) -> recipe_pb2.RecipeSummary:
    return recipe_pb2.RecipeSummary(
        name=recipe.name,
        recipe_arn=recipe_arn(recipe),
        status=status(Status.ACTIVE),
        creation_date_time=timestamp(recipe.published),
        last_updated_date_time=timestamp(recipe.published),
        domain=None if recipe.domain is None else enum_value(common_pb2.Domain.DESCRIPTOR, recipe.domain),
    )
