"""Tuning of hyperparameters: which ranges are searched, and what is refused."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.tuning import check_tuning
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterRange, HyperParameterTuning
from recipes.catalog import RECIPES
from recipes.registry import read_config
from tests.control_plane.messages import solution_config

HRNN, SIMS, V2 = RECIPES["aws-hrnn"], RECIPES["aws-sims"], RECIPES["aws-user-personalization-v2"]
TUNABLE = [name for name, spec in RECIPES.items() if spec.tunable_parameters]
FULL_RANGES = {
    "hidden_dimension": HyperParameterRange(name="hidden_dimension", kind="integer", low=32.0, high=256.0),
    "bptt": HyperParameterRange(name="bptt", kind="integer", low=2.0, high=32.0),
    "recency_mask": HyperParameterRange(name="recency_mask", kind="choice", values=("true", "false")),
}


def hpo_config(*, integer=(), continuous=(), categorical=(), **extra):
    ranges = {
        "integerHyperParameterRanges": list(integer),
        "continuousHyperParameterRanges": list(continuous),
        "categoricalHyperParameterRanges": list(categorical),
    }
    return {"hpoConfig": {"algorithmHyperParameterRanges": ranges, **extra}}


def number_range(name, low, high):
    return {"name": name, "minValue": low, "maxValue": high}


def test_without_ranges_all_hyperparameters_are_searched_that_the_solution_does_not_set():
    assert check_tuning(HRNN, solution_config({}), perform_hpo=True) == HyperParameterTuning(
        trials=10, ranges=FULL_RANGES.values(), parallel_trials=10
    )
    fixed = {"algorithmHyperParameters": {"bptt": "16"}}
    assert check_tuning(HRNN, solution_config(fixed), perform_hpo=True).ranges == [
        FULL_RANGES["hidden_dimension"],
        FULL_RANGES["recency_mask"],
    ]
    assert check_tuning(HRNN, solution_config(fixed), perform_hpo=False) is None


def test_only_the_given_ranges_are_searched_whatever_prefix_their_names_have():
    config = hpo_config(
        integer=[number_range("training.bptt", 8, 16)],
        categorical=[{"name": "data.recency_mask", "values": ["True"]}],
        hpoResourceConfig={"maxNumberOfTrainingJobs": "40", "maxParallelTrainingJobs": "3"},
    )

    tuning = check_tuning(HRNN, solution_config(config), perform_hpo=True)

    bptt = HyperParameterRange(name="bptt", kind="integer", low=8.0, high=16.0)
    assert tuning == HyperParameterTuning(
        trials=40,
        ranges=[bptt, HyperParameterRange(name="recency_mask", kind="choice", values=["True"])],
        parallel_trials=3,
    )


@pytest.mark.parametrize("number", [101, 200_000])
def test_ranges_and_values_are_counted_before_they_are_compared(number):
    ranges = hpo_config(integer=[number_range("bptt", 8, 16)] * number)
    values = hpo_config(categorical=[{"name": "recency_mask", "values": ["True"] * number}])

    with pytest.raises(InvalidInput, match=f"integerHyperParameterRanges`: got '{number} ranges', want at most 100"):
        check_tuning(HRNN, solution_config(ranges), perform_hpo=True)
    with pytest.raises(InvalidInput, match=f"values`: got '{number} values', want at most 100"):
        check_tuning(HRNN, solution_config(values), perform_hpo=True)


def test_a_missing_end_of_a_range_is_that_of_the_recipe():
    config = hpo_config(continuous=[{"name": "popularity_discount_factor", "minValue": 0.25}])

    (tuning_range,) = check_tuning(SIMS, solution_config(config), perform_hpo=True).ranges

    assert (tuning_range.kind, tuning_range.low, tuning_range.high) == ("float", 0.25, 1.0)


BPTT = number_range("bptt", 2, 32)


@pytest.mark.parametrize(
    ("recipe", "config", "message"),
    [
        (V2, {}, "`performHPO`: got True, want false: aws-user-personalization-v2 has no hyperparameter to tune"),
        (
            HRNN,
            hpo_config(integer=[number_range("epochs", 1, 2)]),
            r"Ranges\[0\]\.name`: got 'epochs', want one of hidden_dim",
        ),
        (HRNN, hpo_config(continuous=[BPTT]), r"continuousHyperParameterRanges\[0\]\.name`: got 'bptt', want none"),
        (
            HRNN,
            hpo_config(integer=[number_range("bptt", 2, 33)]),
            r"\.maxValue`: got '33', want an integer from 2 to 32",
        ),
        (HRNN, hpo_config(integer=[number_range("bptt", 9, 8)]), "got minValue 9 above maxValue 8"),
        (HRNN, hpo_config(integer=[BPTT, BPTT]), "bptt`: got 'more than one range'"),
        (
            HRNN,
            {**hpo_config(integer=[BPTT]), "algorithmHyperParameters": {"bptt": "8"}},
            "bptt`: got 'a range and a",
        ),
        (
            HRNN,
            hpo_config(categorical=[{"name": "recency_mask", "values": []}]),
            r"\.values`: got 'none', want true or",
        ),
        (HRNN, hpo_config(categorical=[{"name": "recency_mask", "values": ["no"]}]), r"\.values`: got 'no'"),
        (
            HRNN,
            hpo_config(hpoResourceConfig={"maxNumberOfTrainingJobs": "41"}),
            "got '41', want an integer from 1 to 40",
        ),
        (HRNN, hpo_config(hpoResourceConfig={"maxParallelTrainingJobs": "0"}), "got '0', want an integer from 1 to 10"),
        (HRNN, hpo_config(hpoObjective={"type": "Maximize"}), "hpoObjective`"),
        (
            HRNN,
            {"algorithmHyperParameters": {"bptt": "8", "hidden_dimension": "64", "recency_mask": "true"}},
            "sets all that could be tuned",
        ),
    ],
)
def test_ranges_that_cannot_be_searched_are_refused_by_name(recipe, config, message):
    with pytest.raises(InvalidInput, match=message):
        check_tuning(recipe, solution_config(config), perform_hpo=True)


def test_a_configuration_that_would_be_ignored_is_refused():
    with pytest.raises(InvalidInput, match=r"hpoConfig`: got 'a configuration', want none, or performHPO"):
        check_tuning(HRNN, solution_config({"hpoConfig": {}}), perform_hpo=False)


@pytest.mark.parametrize("name", TUNABLE)
def test_the_ends_of_every_range_are_values_that_the_recipe_accepts(name):
    for item in check_tuning(RECIPES[name], solution_config({}), perform_hpo=True).ranges:
        ends = item.values or tuple(f"{end:g}" for end in (item.low, item.high))
        for value in ends:
            read_config(RECIPES[name], {item.name: value})
