"""What solutions and campaigns may ask for, and that the facts about recipes are those of the recipes."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.campaigns import (
    check_campaign_config,
    check_min_provisioned_tps,
    follows_latest,
    split_version_arn,
)
from control_plane.domain.recipes import check_hyper_parameters, described_recipe, recipe_arn, trainable_recipe
from control_plane.domain.solutions import (
    check_solution,
    check_training_mode,
)
from recipes.catalog import RECIPES
from recipes.registry import read_config
from tests.control_plane.world import PERSONALIZATION

V2 = RECIPES["aws-user-personalization-v2"]
V1 = RECIPES["aws-user-personalization"]
SEMANTIC = RECIPES["aws-semantic-similarity"]
POPULARITY = RECIPES["aws-popularity-count"]
SIMS = RECIPES["aws-sims"]
PROBES = ["-1", "0", "0.5", "1", "3", "8", "12", "16", "64", "1e9", "nan", "inf", "true", "x", ""]
SOLUTION = "arn:aws:personalize:eu-west-1:123456789012:solution/films"
NOT_BUILT_CONFIGS = [
    {"autoMLConfig": {}},
    {"autoTrainingConfig": {"schedulingExpression": "rate(7 days)"}},
]


@pytest.mark.parametrize("value", PROBES)
@pytest.mark.parametrize("key", sorted(set(V2.hyper_parameters) - {"heads"}))
def test_no_value_is_accepted_that_the_recipe_refuses(key, value):
    # Heads must divide the width, which only the recipe checks: with one head every width fits.
    values = {"heads": "1", key: value}

    assert not _accepted(check_hyper_parameters, V2, values) or _accepted(read_config, V2, values)


def _accepted(check, spec, values):
    try:
        check(spec, values)
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epochs": "many"}, r"algorithmHyperParameters\.epochs`: got 'many', want an integer from 1 to 10000"),
        ({"bptt": "32"}, "want one of apply_recency_bias"),
        ({"apply_recency_bias": "perhaps"}, "want true or false"),
        ({"embedding_size": "65"}, "a multiple of 8"),
    ],
)
def test_bad_hyperparameters_are_refused_with_their_range(values, told):
    with pytest.raises(InvalidInput, match=told):
        check_solution(V2, {"algorithmHyperParameters": values}, perform_hpo=False)


@pytest.mark.parametrize(
    ("recipe", "values", "told"),
    [
        (SIMS, {"min_user_history_length_percentile": "1.5"}, "percentile`: got '1.5', want a number from 0 to 1"),
        (SIMS, {"popularity_discount_factor": "0.5"}, "want one of min_user_history_length_percentile"),
        (V2, {"min_user_history_length_percentile": "0"}, "none: aws-user-personalization-v2 has none"),
    ],
)
def test_bad_parameters_of_the_feature_transformation_are_refused(recipe, values, told):
    with pytest.raises(InvalidInput, match=rf"`solutionConfig\.featureTransformationParameters\..*{told}"):
        check_solution(recipe, {"featureTransformationParameters": values}, perform_hpo=False)


def test_parameters_of_the_feature_transformation_are_no_hyperparameters():
    values = {"min_user_history_length_percentile": "0.1"}

    check_solution(SIMS, {"featureTransformationParameters": values}, perform_hpo=False)
    with pytest.raises(InvalidInput, match=r"want one of popularity_discount_factor, min_cointeraction_count$"):
        check_solution(SIMS, {"algorithmHyperParameters": values}, perform_hpo=False)


def test_recipe_without_hyperparameters_takes_none():
    with pytest.raises(InvalidInput, match="the recipe has no hyperparameters"):
        check_solution(POPULARITY, {"algorithmHyperParameters": {"epochs": "1"}}, perform_hpo=False)


def refusal(recipe, config):
    """Return why a configuration is refused, None when it is taken."""
    try:
        check_solution(recipe, config, perform_hpo=False)
    except InvalidInput as error:
        return error.message
    return None


@pytest.mark.parametrize(("value", "taken"), [("false", True), ("TRUE", True), ("no", False), ("", False)])
def test_solution_config_is_taken_exactly_when_its_values_are_in_range(value, taken):
    refused = refusal(V2, {"algorithmHyperParameters": {"apply_recency_bias": value}})

    assert refused is None if taken else "want true or false" in refused
    assert refusal(POPULARITY, {}) is None


@pytest.mark.parametrize("config", NOT_BUILT_CONFIGS)
def test_solution_config_that_would_be_ignored_is_refused_by_name(config):
    (key,) = config

    with pytest.raises(InvalidInput, match=rf"`solutionConfig\.{key}`.*not built yet"):
        check_solution(V2, config, perform_hpo=False)


def test_an_unknown_recipe_is_neither_described_nor_trained():
    for look in (trainable_recipe, described_recipe):
        with pytest.raises(ResourceNotFound, match="does not exist"):
            look("arn:aws:personalize:::recipe/aws-films")
    assert trainable_recipe(PERSONALIZATION) is described_recipe(PERSONALIZATION)


def test_recipe_of_an_account_does_not_exist():
    with pytest.raises(ResourceNotFound):
        trainable_recipe("arn:aws:personalize:eu-west-1:123456789012:recipe/aws-popularity-count")


def test_training_is_full_unless_the_recipe_can_be_updated():
    assert check_training_mode(None, V2) == check_training_mode("FULL", V2) == "FULL"
    assert check_training_mode("UPDATE", V1) == "UPDATE"
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: aws-user-personalization-v2"):
        check_training_mode("UPDATE", V2)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'AUTOTRAIN', want FULL or UPDATE"):
        check_training_mode("AUTOTRAIN", V1)


def test_latest_version_is_told_from_a_version():
    assert split_version_arn(f"{SOLUTION}/$LATEST") == (SOLUTION, True)
    assert split_version_arn(f"{SOLUTION}/0123abcd") == (f"{SOLUTION}/0123abcd", False)
    with pytest.raises(ResourceNotFound, match=r"\$LATEST"):
        split_version_arn(SOLUTION)


@pytest.mark.parametrize(
    ("config", "recipe", "latest", "told"),
    [
        ({"enableMetadataWithRecommendations": True}, V2, False, "not built yet"),
        ({"rankingInfluence": {"FRESHNESS": 0.5}}, V2, False, "rankingInfluence"),
        ({"rankingInfluence": {"FRESHNESS": 1.5}}, SEMANTIC, False, "got 1.5, want a number from 0 to 1"),
        ({"rankingInfluence": {"AGE": 0.5}}, SEMANTIC, False, "got 'AGE', want one of FRESHNESS, POPULARITY"),
        ({"syncWithLatestSolutionVersion": True}, V2, False, "LATEST"),
        ({"itemExplorationConfig": {"explorationWeight": "0.3"}}, V2, False, "cannot be configured"),
        ({"itemExplorationConfig": {"explorationWeight": "1.3"}}, V1, False, "from 0 to 1"),
        ({"itemExplorationConfig": {"explorationWeight": "much"}}, V1, False, "from 0 to 1"),
        ({"itemExplorationConfig": {"weight": "1"}}, V1, False, "explorationItemAgeCutOff"),
        ({"itemExplorationConfig": {"explorationItemAgeCutOff": "0"}}, V1, False, "'0', want a number above 0"),
        ({"itemExplorationConfig": {"explorationItemAgeCutOff": "inf"}}, V1, False, "want a number above 0"),
    ],
)
def test_campaign_config_that_does_not_fit_is_refused(config, recipe, latest, told):
    with pytest.raises(InvalidInput, match=told):
        check_campaign_config(config, recipe, latest=latest)


def test_good_campaign_configs_pass():
    check_campaign_config({}, V2, latest=False)
    check_campaign_config({"enableMetadataWithRecommendations": False}, V2, latest=False)
    check_campaign_config({"rankingInfluence": {"FRESHNESS": 0.5, "POPULARITY": 1.0}}, SEMANTIC, latest=False)
    check_campaign_config({"syncWithLatestSolutionVersion": True}, V2, latest=True)
    exploring = {"explorationWeight": "0.3", "explorationItemAgeCutOff": "0.5"}
    check_campaign_config({"itemExplorationConfig": exploring}, V1, latest=False)
    assert follows_latest({"syncWithLatestSolutionVersion": True})
    assert not follows_latest(None)


def test_provisioned_requests_are_positive():
    assert check_min_provisioned_tps(None) == 1
    with pytest.raises(InvalidInput, match="minProvisionedTPS"):
        check_min_provisioned_tps(0)


def test_recipes_of_segments_have_no_campaigns():
    with pytest.raises(InvalidInput, match="user segments are made by batch segment jobs"):
        check_campaign_config({}, RECIPES["aws-item-affinity"], latest=False)


def test_use_cases_of_domains_are_for_recommenders_only():
    arn = recipe_arn(RECIPES["aws-vod-top-picks"])

    assert described_recipe(arn).domain == "VIDEO_ON_DEMAND"
    with pytest.raises(InvalidInput, match="is for recommenders of VIDEO_ON_DEMAND only"):
        trainable_recipe(arn)
