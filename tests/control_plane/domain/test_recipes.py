"""Recipes by their ARNs, and the checks of their hyperparameters."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.recipes import check_hyper_parameters, described_recipe, recipe_arn, trainable_recipe
from recipes.catalog import RECIPES
from recipes.registry import read_config
from tests.control_plane.world import PERSONALIZATION

V2 = RECIPES["aws-user-personalization-v2"]
PROBES = ["-1", "0", "0.5", "1", "3", "8", "12", "16", "64", "1e9", "nan", "inf", "true", "x", ""]


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


def test_an_unknown_recipe_is_neither_described_nor_trained():
    for look_up in (trainable_recipe, described_recipe):
        with pytest.raises(ResourceNotFound, match="does not exist"):
            look_up("arn:aws:personalize:::recipe/aws-films")
    assert trainable_recipe(PERSONALIZATION) is described_recipe(PERSONALIZATION)


def test_recipe_of_an_account_does_not_exist():
    with pytest.raises(ResourceNotFound):
        trainable_recipe("arn:aws:personalize:eu-west-1:123456789012:recipe/aws-popularity-count")


def test_use_cases_of_domains_are_for_recommenders_only():
    arn = recipe_arn(RECIPES["aws-vod-top-picks"])

    assert described_recipe(arn).domain == "VIDEO_ON_DEMAND"
    with pytest.raises(InvalidInput, match="is for recommenders of VIDEO_ON_DEMAND only"):
        trainable_recipe(arn)
