"""What solutions whose recipe AutoML chooses may configure, and what is tried for them."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.auto_ml import check_auto_ml, recipe_search
from recipes.auto_ml import DEFAULT_AUTO_ML_METRIC
from tests.control_plane.messages import solution_config

RECIPE = "arn:aws:personalize:::recipe/"


def tried(search):
    return [item.recipe for item in search.candidates]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"autoMLConfig": {"metricName": "coverage"}}, r"autoMLConfig\.metricName`: got 'coverage', want one of mean_"),
        (
            {"autoMLConfig": {"recipeList": [f"{RECIPE}aws-sims"]}},
            r"recipeList`: .*want recipes that recommend to a user",
        ),
        ({"autoMLConfig": {"recipeList": [f"{RECIPE}aws-ecomm-popular-items-by-views"]}}, "recommenders of ECOMMERCE"),
        ({"autoMLConfig": {"recipeList": [f"{RECIPE}aws-hrnn"] * 101}}, "got '101 recipes', want at most 100"),
        ({"algorithmHyperParameters": {"bptt": "3"}}, "`solutionConfig.algorithmHyperParameters`.*performAutoML"),
        ({"hpoConfig": {}}, "`solutionConfig.hpoConfig`.*performAutoML"),
        ({"optimizationObjective": {"itemAttribute": "X"}}, "`solutionConfig.optimizationObjective`.*performAutoML"),
    ],
)
def test_what_belongs_to_one_recipe_or_cannot_be_chosen_is_refused(document, message):
    with pytest.raises(InvalidInput, match=message):
        check_auto_ml(solution_config(document))


def test_a_recipe_that_does_not_exist_cannot_be_chosen():
    with pytest.raises(ResourceNotFound, match="aws-nothing"):
        check_auto_ml(solution_config({"autoMLConfig": {"recipeList": [f"{RECIPE}aws-nothing"]}}))


def test_what_holds_for_all_recipes_is_taken():
    check_auto_ml(
        solution_config(
            {
                "eventValueThreshold": "3",
                "autoTrainingConfig": {"schedulingExpression": "rate(1 day)"},
                "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}},
                "autoMLConfig": {"metricName": "precision_at_5", "recipeList": [f"{RECIPE}aws-hrnn"]},
            }
        )
    )


def test_named_recipes_are_tried_once_each_the_simplest_first():
    names = ["aws-user-personalization-v2", "aws-hrnn", "aws-popularity-count", "aws-hrnn"]
    config = solution_config(
        {"autoMLConfig": {"metricName": "precision_at_5", "recipeList": [f"{RECIPE}{name}" for name in names]}}
    )

    search = recipe_search(config, ["INTERACTIONS"], perform_hpo=False)

    assert tried(search) == ["aws-popularity-count", "aws-hrnn", "aws-user-personalization-v2"]
    assert search.metric_name == "precision_at_5"
    assert not any(item.HasField("tuning") for item in search.candidates)


def test_without_names_recipes_that_personalize_are_tried():
    search = recipe_search(solution_config({}), ["INTERACTIONS"], perform_hpo=False)
    assert tried(search) == ["aws-hrnn", "aws-user-personalization", "aws-user-personalization-v2"]
    assert search.metric_name == DEFAULT_AUTO_ML_METRIC
    assert "aws-hrnn-metadata" in tried(
        recipe_search(solution_config({}), ["INTERACTIONS", "USERS"], perform_hpo=False)
    )


def test_with_tuning_each_recipe_that_can_be_is_tuned():
    search = recipe_search(solution_config({}), ["INTERACTIONS"], perform_hpo=True)

    tuned = {item.recipe: [each.name for each in item.tuning.ranges] for item in search.candidates}
    assert tuned["aws-hrnn"] == ["hidden_dimension", "bptt", "recency_mask"]
    assert tuned["aws-user-personalization-v2"] == []
