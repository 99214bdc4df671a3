"""What AutoML chooses among is told by hand: it must fit the catalogue, and the metrics that are measured."""

from __future__ import annotations

from itertools import product

import pytest

from recipes.auto_ml import AUTO_ML_METRICS, AUTO_ML_RECIPES, DEFAULT_AUTO_ML_METRIC, default_candidates
from recipes.catalog import RECIPES
from recipes.evaluation.paired_tests import PRIMARY_METRIC
from recipes.spec import RecipeKind


def test_every_recipe_that_personalizes_for_custom_solutions_can_be_chosen():
    personalizing = {
        name
        for name, recipe in RECIPES.items()
        if recipe.kind is RecipeKind.USER_PERSONALIZATION and recipe.domain is None
    }
    assert personalizing < set(AUTO_ML_RECIPES)
    assert {RECIPES[name].kind for name in AUTO_ML_RECIPES} == {
        RecipeKind.USER_PERSONALIZATION, RecipeKind.POPULAR_ITEMS,
    }  # fmt: skip


def test_metrics_are_named_as_they_are_measured():
    kinds = ("normalized_discounted_cumulative_gain", "precision", "recall")
    measured = {f"{kind}_at_{cut}" for kind, cut in product(kinds, (5, 10, 25))}
    assert {*measured, "mean_reciprocal_rank_at_25", PRIMARY_METRIC} < set(AUTO_ML_METRICS)
    assert DEFAULT_AUTO_ML_METRIC == PRIMARY_METRIC


@pytest.mark.parametrize("has_columns", [True, False])
def test_personalizing_recipes_are_the_default_the_simplest_first(has_columns):
    names = default_candidates(has_columns=has_columns)
    assert {RECIPES[name].kind for name in names} == {RecipeKind.USER_PERSONALIZATION}
    assert names == tuple(name for name in AUTO_ML_RECIPES if name in names)
    assert ("aws-hrnn-metadata" in names) is has_columns
