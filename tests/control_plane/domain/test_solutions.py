"""Checks of solutions: hyperparameters, objectives, training columns, training modes."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.solutions import (
    check_columns_exist,
    check_objective_column,
    check_solution,
    check_training_mode,
)
from protos.tailorbird.control.v1.solution_config_pb2 import OptimizationObjective
from recipes.catalog import RECIPES
from tests.control_plane.messages import solution_config
from tests.control_plane.world import ITEMS, avro, column

V2 = RECIPES["aws-user-personalization-v2"]
V1 = RECIPES["aws-user-personalization"]
POPULARITY = RECIPES["aws-popularity-count"]
SIMS = RECIPES["aws-sims"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "many"}, r"algorithmHyperParameters\.epochs`: got 'many', want an integer from 1 to 10000"),
        ({"bptt": "32"}, "want one of apply_recency_bias"),
        ({"apply_recency_bias": "perhaps"}, "want true or false"),
        ({"embedding_size": "65"}, "a multiple of 8"),
    ],
)
def test_bad_hyperparameters_are_refused_with_their_range(values, message):
    with pytest.raises(InvalidInput, match=message):
        check_solution(V2, solution_config({"algorithmHyperParameters": values}), perform_hpo=False)


@pytest.mark.parametrize(
    ("recipe", "values", "message"),
    [
        (SIMS, {"min_user_history_length_percentile": "1.5"}, "percentile`: got '1.5', want a number from 0 to 1"),
        (SIMS, {"popularity_discount_factor": "0.5"}, "want one of min_user_history_length_percentile"),
        (V2, {"min_user_history_length_percentile": "0"}, "none: aws-user-personalization-v2 has none"),
    ],
)
def test_bad_parameters_of_the_feature_transformation_are_refused(recipe, values, message):
    with pytest.raises(InvalidInput, match=rf"`solutionConfig\.featureTransformationParameters\..*{message}"):
        check_solution(recipe, solution_config({"featureTransformationParameters": values}), perform_hpo=False)


def test_parameters_of_the_feature_transformation_are_no_hyperparameters():
    values = {"min_user_history_length_percentile": "0.1"}

    check_solution(SIMS, solution_config({"featureTransformationParameters": values}), perform_hpo=False)
    with pytest.raises(InvalidInput, match=r"want one of popularity_discount_factor, min_cointeraction_count$"):
        check_solution(SIMS, solution_config({"algorithmHyperParameters": values}), perform_hpo=False)


def test_recipe_without_hyperparameters_takes_none():
    with pytest.raises(InvalidInput, match="the recipe has no hyperparameters"):
        check_solution(POPULARITY, solution_config({"algorithmHyperParameters": {"epochs": "1"}}), perform_hpo=False)


def rejection(recipe, config):
    """Return why a configuration is refused, None when it is taken."""
    try:
        check_solution(recipe, solution_config(config), perform_hpo=False)
    except InvalidInput as error:
        return error.message
    return None


@pytest.mark.parametrize(("value", "accepted"), [("false", True), ("TRUE", True), ("no", False), ("", False)])
def test_solution_config_is_accepted_exactly_when_its_values_are_in_range(value, accepted):
    message = rejection(V2, {"algorithmHyperParameters": {"apply_recency_bias": value}})

    assert message is None if accepted else "want true or false" in message
    assert rejection(POPULARITY, {}) is None


def test_recipes_are_no_choice_beside_a_recipe():
    with pytest.raises(InvalidInput, match=r"`solutionConfig\.autoMLConfig`.*none, or performAutoML true"):
        check_solution(V2, solution_config({"autoMLConfig": {}}), perform_hpo=False)


@pytest.mark.parametrize("recipe", [V2, None])
def test_a_rate_of_automatic_trainings_is_checked(recipe):
    config = {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}}
    check_solution(recipe, solution_config(config), perform_hpo=False)
    config["autoTrainingConfig"]["schedulingExpression"] = "rate(31 days)"
    with pytest.raises(InvalidInput, match=r"`solutionConfig\.autoTrainingConfig\.schedulingExpression`"):
        check_solution(recipe, solution_config(config), perform_hpo=False)


def test_training_is_full_unless_the_recipe_can_be_updated():
    assert check_training_mode(None, V2) == check_training_mode("FULL", V2) == "FULL"
    assert check_training_mode("UPDATE", V1) == "UPDATE"
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: aws-user-personalization-v2"):
        check_training_mode("UPDATE", V2)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: a recipe that AutoML chooses"):
        check_training_mode("UPDATE", None)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'AUTOTRAIN', want FULL or UPDATE"):
        check_training_mode("AUTOTRAIN", V1)


PRICED_ITEMS = avro(
    "Items", column("ITEM_ID"), column("PRICE", "float"), column("MINUTES", ["null", "int"]), column("TITLE")
)


def objective(**members: str) -> dict[str, object]:
    return {"optimizationObjective": members}


@pytest.mark.parametrize("name", ["aws-user-personalization", "aws-personalized-ranking"])
def test_recipes_of_version_1_take_an_objective(name):
    config = objective(itemAttribute="PRICE", objectiveSensitivity="HIGH")
    check_solution(RECIPES[name], solution_config(config), perform_hpo=False)


@pytest.mark.parametrize("name", ["aws-user-personalization-v2", "aws-hrnn", "aws-sims"])
def test_other_recipes_take_no_objective(name):
    with pytest.raises(InvalidInput, match=f"`solutionConfig.optimizationObjective`.*{name} takes no objective"):
        check_solution(RECIPES[name], solution_config(objective(itemAttribute="PRICE")), perform_hpo=False)


@pytest.mark.parametrize("members", [{}, {"itemAttribute": ""}, {"itemAttribute": "x" * 151}])
def test_an_objective_names_its_column(members):
    with pytest.raises(InvalidInput, match=r"itemAttribute`.*want a column of the items, 1 to 150 characters"):
        check_solution(RECIPES["aws-user-personalization"], solution_config(objective(**members)), perform_hpo=False)


def test_the_column_of_an_objective_is_numeric_and_never_null():
    check_objective_column(OptimizationObjective(item_attribute="PRICE"), items=PRICED_ITEMS)
    for name, message in (("MINUTES", "has int or null"), ("TITLE", "has string"), ("YEAR", "has no such column")):
        with pytest.raises(InvalidInput, match=f"itemAttribute`: got '{name}', want a numeric column.* {message}"):
            check_objective_column(OptimizationObjective(item_attribute=name), items=PRICED_ITEMS)
    with pytest.raises(InvalidInput, match="no such column"):
        check_objective_column(OptimizationObjective(item_attribute="PRICE"), items=None)


WITHOUT_GENRES = {"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["GENRES"]}}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"excludedDatasetColumns": {"FILMS": []}}, "`datasetType`: got 'FILMS'"),
        ({"excludedDatasetColumns": {"ITEMS": ["A"] * 51}}, "51 columns', want at most 50"),
        ({"excludedDatasetColumns": {"ITEMS": [], "Items": []}}, "every dataset once"),
        ({"includedDatasetColumns": {kind: [] for kind in ("ITEMS", "USERS", "INTERACTIONS", "ACTIONS")}}, "at most 3"),
        ({"excludedDatasetColumns": {"INTERACTIONS": ["EVENT_TYPE"]}}, r"got \['EVENT_TYPE'\], want columns that can"),
        ({"excludedDatasetColumns": {"ITEMS": ["ITEM_ID"]}}, "can be left out"),
        (
            {"excludedDatasetColumns": {"ITEMS": ["A"]}, "includedDatasetColumns": {"items": ["B"]}},
            "not in excludedDatasetColumns too",
        ),
    ],
)
def test_training_columns_that_are_not_supported_are_refused(config, message):
    with pytest.raises(InvalidInput, match=message):
        check_solution(POPULARITY, solution_config({"trainingDataConfig": config}), perform_hpo=False)


def is_refused(config):
    try:
        check_solution(POPULARITY, solution_config({"trainingDataConfig": config}), perform_hpo=False)
    except InvalidInput:
        return True
    return False


def test_columns_of_a_dataset_are_either_excluded_or_included():
    names = [f"C{number}" for number in range(50)]
    assert not is_refused({})
    assert not is_refused(
        {"excludedDatasetColumns": {"ITEMS": names}, "includedDatasetColumns": {"USERS": ["B" * 150]}}
    )

    assert is_refused({"excludedDatasetColumns": {"ITEMS": names}, "includedDatasetColumns": {"ITEMS": ["B"]}})
    assert is_refused({"excludedDatasetColumns": {"ITEMS": [*names, "C50"]}})
    assert is_refused({"includedDatasetColumns": {"USERS": ["B" * 151]}})


def training_data(document):
    return solution_config({"trainingDataConfig": document}).training_data_config


def test_columns_must_be_in_the_schema_of_an_existing_dataset():
    check_columns_exist(training_data(WITHOUT_GENRES["trainingDataConfig"]), {"ITEMS": ITEMS})
    check_columns_exist(training_data({"includedDatasetColumns": {"USERS": ["AGE"]}}), {"ITEMS": ITEMS})
    with pytest.raises(InvalidInput, match=r"includedDatasetColumns\.ITEMS`: got 'GENRE', want one of ITEM_ID, GENRES"):
        check_columns_exist(training_data({"includedDatasetColumns": {"items": ["GENRE"]}}), {"ITEMS": ITEMS})
