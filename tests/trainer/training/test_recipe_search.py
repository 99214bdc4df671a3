"""Choosing the recipe by trial, in real trainings: who is chosen, what is reported, what may fail."""

from __future__ import annotations

import random

import pytest

from common.artifacts import open_artifact, read_manifest
from common.errors import InvalidInput
from inference.model import ModelLoader
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.auto_ml import AUTO_ML_METRICS, DEFAULT_AUTO_ML_METRIC
from tests.trainer.place import Place, walks
from tests.trainer.training.running import train
from tests.trainer.training.test_progress import RecordingJobContext

POPULARITY, IALS = "aws-popularity-count", "tailorbird-ials"


def search(place, *recipes, metric=DEFAULT_AUTO_ML_METRIC, **more):
    tried = [jobs_pb2.RecipeToTry(recipe=recipe) for recipe in recipes]
    return train(place, "", recipe_search=jobs_pb2.RecipeSearch(candidates=tried, metric_name=metric), **more)


def bring(place, lines):
    place.write("a.csv", *lines)
    place.bring("s3://films/a.csv")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a place with a search among three recipes, its result, and its reports."""
    place = Place(tmp_path_factory.mktemp("search"))
    bring(place, walks(users=400))
    context = RecordingJobContext()
    return place, search(place, POPULARITY, "aws-next-best-action", IALS, context=context), context.reports


def test_the_recipe_that_is_significantly_better_is_chosen_and_served(searched):
    place, result, _ = searched

    assert result.recipe == IALS
    manifest = read_manifest(place.store, "artifacts/films-1")
    assert manifest.recipe == IALS
    assert manifest.evaluation == result.evaluation
    model = ModelLoader(place.store, cache=place.root / "cache", index="annoy").load("artifacts/films-1")
    assert len(model.scorer.item_vectors) == 40
    measured = open_artifact(place.store, f"artifacts/films-1/{manifest.measured_model}", cache=place.root / "cache")
    assert measured.manifest.recipe == IALS


def test_every_candidate_is_reported(searched):
    _, result, _ = searched
    choice = result.evaluation.recipe_choice

    assert choice.judged_by == DEFAULT_AUTO_ML_METRIC
    assert [(item.recipe, item.chosen) for item in choice.candidates] == [
        (POPULARITY, False), ("aws-next-best-action", False), (IALS, True),
    ]  # fmt: skip
    popularity, actions, ials = choice.candidates
    assert "aws-next-best-action" in actions.failure_reason
    assert not actions.metrics
    for item in (popularity, ials):
        assert not item.failure_reason
        assert item.seconds > 0.0
        assert {metric.name for metric in item.metrics} >= {*AUTO_ML_METRICS, "coverage"}
        assert all(metric.low <= metric.value <= metric.high for metric in item.metrics if metric.HasField("low"))
    assert list(ials.metrics) == list(result.evaluation.model.metrics)
    assert (ials.compared_with, popularity.compared_with) == (POPULARITY, "")
    assert ials.comparison.verdict == evaluation_pb2.VERDICT_BETTER
    assert ials.comparison.judged_by == DEFAULT_AUTO_ML_METRIC
    assert ials.comparison.reason.startswith(f"significantly better than {POPULARITY}: {DEFAULT_AUTO_ML_METRIC}")
    named = {item.name: item for item in popularity.metrics}
    for difference in ials.comparison.differences:
        assert difference.predecessor == pytest.approx(named[difference.name].value)


def test_progress_never_falls_and_names_the_candidate(searched):
    _, _, reports = searched

    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    activities = [activity for _, activity in reports]
    assert activities.index(f"{POPULARITY} (1 of 3): fitting") < activities.index(f"{IALS} (3 of 3): fitting")
    assert activities[-2:] == [f"{IALS}: writing the artifact", "publishing"]


def test_of_two_that_are_as_good_the_first_is_chosen(place):
    draw = random.Random(7)
    bring(
        place,
        [f"u{user:03},i{draw.randrange(40):03},{1_700_000_000 + user * 100 + step},watch,1"
         for user in range(300) for step in range(10)],
    )  # fmt: skip

    result = search(place, POPULARITY, IALS, metric="precision_at_10")

    assert result.recipe == POPULARITY
    _, ials = result.evaluation.recipe_choice.candidates
    assert ials.comparison.verdict != evaluation_pb2.VERDICT_BETTER
    assert ials.comparison.judged_by == "precision_at_10"


def test_where_all_fail_for_one_reason_it_is_said_once(place):
    bring(place, walks(users=10))

    with pytest.raises(InvalidInput) as caught:
        search(place, POPULARITY, IALS)

    with pytest.raises(InvalidInput) as alone:
        train(place, POPULARITY)
    assert caught.value.message == alone.value.message


def test_where_all_fail_each_reason_is_named(place):
    bring(place, walks())

    with pytest.raises(InvalidInput, match=r"aws-next-best-action: .*; no-such-recipe: `recipe`: got 'no-such-recipe'"):
        search(place, "aws-next-best-action", "no-such-recipe")


def test_hyperparameters_are_tuned_for_each_candidate_that_asks(place):
    bring(place, walks(users=120))
    ranges = [jobs_pb2.HyperParameterRange(name="epochs", kind="integer", low=1, high=2)]
    tuning = jobs_pb2.HyperParameterTuning(trials=2, ranges=ranges)
    tried = [jobs_pb2.RecipeToTry(recipe=IALS, tuning=tuning), jobs_pb2.RecipeToTry(recipe=POPULARITY)]

    result = train(place, "", recipe_search=jobs_pb2.RecipeSearch(candidates=tried, metric_name=DEFAULT_AUTO_ML_METRIC))

    ials, popularity = result.evaluation.recipe_choice.candidates
    assert ials.tuned_hyper_parameters["epochs"] in ("1", "2")
    assert not popularity.tuned_hyper_parameters
    assert result.tuned_hyper_parameters == ials.tuned_hyper_parameters
