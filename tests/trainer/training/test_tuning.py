"""Tuning in real trainings: what is tried, what is chosen, and that test users have no say in it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from common.artifacts import open_artifact, read_manifest
from common.compute.local import LocalCompute
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.ports import ignore_progress
from tests.trainer.place import walks
from tests.trainer.training.running import train
from trainer.training.program import Training
from trainer.training.programs.item_recommendation import ItemRecommendationSteps
from trainer.training.snapshot import take_snapshot
from trainer.training.trials import TrialPart, run_trial
from trainer.training.tuning import tune, tune_side_by_side
from trainer.worker import NO_DETAILS, NullJobContext

Range = jobs_pb2.HyperParameterRange
DISCOUNT = Range(name="popularity_discount_factor", kind="float", low=0.0, high=1.0)
COMMON = Range(name="min_cointeraction_count", kind="integer", low=0, high=10)


class RecordingJobContext(NullJobContext):
    def __init__(self):
        self.reports = []

    def report(self, *, fraction, activity, details=NO_DETAILS):
        self.reports.append((fraction, activity))


@pytest.fixture
def filled(place):
    place.write("a.csv", *walks(users=400))
    place.bring("s3://films/a.csv")
    return place


def search(place, name="aws-sims", *ranges, trials=4, config="{}", **more):
    tuning = jobs_pb2.HyperParameterTuning(trials=trials, ranges=ranges)
    return train(place, name, tuning=tuning, solution_config=config, **more)


def test_the_best_of_the_trials_is_trained_and_reported(filled):
    context = RecordingJobContext()
    result = search(filled, "aws-sims", DISCOUNT, COMMON, trials=6, context=context)

    chosen = dict(result.tuned_hyper_parameters)
    assert set(chosen) == {"popularity_discount_factor", "min_cointeraction_count"}
    assert 0.0 <= float(chosen["popularity_discount_factor"]) <= 1.0
    assert 0 <= int(chosen["min_cointeraction_count"]) <= 10
    manifest = read_manifest(filled.store, "artifacts/films-1")
    assert dict(manifest.tuned_hyper_parameters) == chosen
    config = json.loads(manifest.recipe_config_json)
    assert {name: str(config[name]) for name in chosen} == chosen
    assert manifest.stage_seconds["tune"] > 0
    activities = [stage for _, stage in context.reports]
    assert any("trial 6 of 6" in stage for stage in activities)
    assert [fraction for fraction, _ in context.reports] == sorted(fraction for fraction, _ in context.reports)


def test_a_version_is_trained_as_if_what_was_chosen_had_been_given(filled):
    result = search(filled, "aws-sims", DISCOUNT, trials=3, location="artifacts/tuned")
    given = {"algorithmHyperParameters": dict(result.tuned_hyper_parameters)}
    train(filled, "aws-sims", location="artifacts/given", solution_config=json.dumps(given))

    one, other = (
        open_artifact(filled.store, f"artifacts/{name}", cache=filled.root / "cache") for name in ("tuned", "given")
    )
    assert dict(one.manifest.metrics) == dict(other.manifest.metrics)
    for file in one.manifest.files:
        if file.path.endswith(".npy"):
            np.testing.assert_array_equal(np.load(one.folder / file.path), np.load(other.folder / file.path))


def test_networks_are_tuned_within_the_ranges_beside_what_is_given(filled):
    result = search(
        filled, "aws-hrnn",
        Range(name="hidden_dimension", kind="integer", low=32, high=40),
        Range(name="recency_mask", kind="choice", values=["False"]),
        trials=2, config='{"algorithmHyperParameters": {"epochs": "1", "bptt": "8"}}',
    )  # fmt: skip

    chosen = dict(result.tuned_hyper_parameters)
    assert 32 <= int(chosen["hidden_dimension"]) <= 40
    assert chosen["recency_mask"] == "False"
    config = json.loads(read_manifest(filled.store, "artifacts/films-1").recipe_config_json)
    assert (config["recency_mask"], config["bptt"], config["epochs"]) == (False, 8, 1)


def sought(measure, *, low=0.0, trials=30):
    ranges = (Range(name="discount", kind="float", low=low, high=1.0),)
    activities = []

    def progress(*, fraction, stage, metrics):
        activities.append(stage)

    values = tune(
        measure,
        jobs_pb2.HyperParameterTuning(trials=trials, ranges=ranges),
        defaults={"discount": 0.5},
        seed=1,
        progress=progress,
    )
    return float(values["discount"]), activities


def test_the_search_begins_with_the_default_and_comes_near_the_best():
    tried = []

    def measure(values, listener):
        tried.append(float(values["discount"]))
        return -((tried[-1] - 0.8) ** 2)

    discount, _ = sought(measure)

    assert tried[0] == 0.5
    assert discount == pytest.approx(0.8, abs=0.05)
    assert len(tried) == 30
    assert discount == sought(measure)[0]


def test_the_default_is_moved_into_the_range():
    assert sought(lambda values, listener: 1.0, low=0.6, trials=1)[0] == 0.6


def test_equal_values_are_tried_once():
    tried = []

    def measure(values, listener):
        tried.append(values)
        return 0.1

    ranges = (Range(name="recency_mask", kind="choice", values=("true", "false")),)
    values = tune(
        measure, jobs_pb2.HyperParameterTuning(trials=9, ranges=ranges), defaults={"recency_mask": False}, seed=1,
        progress=lambda **_: None,
    )  # fmt: skip

    assert tried == [{"recency_mask": "false"}, {"recency_mask": "true"}]
    assert values == {"recency_mask": "false"}


def test_trials_that_lag_behind_are_cut_short():
    passes = {}

    def measure(values, listener):
        value = float(values["discount"])
        for number in range(20):
            passes[value] = number + 1
            listener(fraction=number / 20, stage="learning", metrics={"validation_ndcg_at_10": value})
        return value

    discount, activities = sought(measure)

    assert discount == max(passes)
    assert 10 <= sum(count < 20 for count in passes.values()) < 27
    assert min(passes.values()) >= 4
    assert passes[discount] == 20
    assert activities[0] == "trial 1 of 30: learning"
    assert activities[-1] == "tuned"


class LastFirst:
    """A `Compute` with two places, in this process: of two parts the one that was read last ends first."""

    def run(self, task, parts, *, check):
        running = {}
        for place in range(len(parts)):
            running[place] = parts[place]
            if len(running) == 2:
                check()
                yield place, task(running.pop(place))
        for place, part in running.items():
            yield place, task(part)


def test_trials_side_by_side_begin_with_the_default_and_come_near_the_best():
    tried, activities = [], []

    def measure(part):
        if part.measured is not None:
            return part.measured
        tried.append(float(part.values["discount"]))
        return -((tried[-1] - 0.8) ** 2)

    def progress(*, fraction, stage, metrics):
        activities.append((fraction, stage))

    values = tune_side_by_side(
        LastFirst(), measure, "{}",
        jobs_pb2.HyperParameterTuning(trials=30, ranges=[Range(name="discount", kind="float", low=0.0, high=1.0)]),
        defaults={"discount": 0.5}, seed=1, progress=progress,
    )  # fmt: skip

    assert tried[-1] == 0.5  # read first
    assert float(values["discount"]) == pytest.approx(0.8, abs=0.05)
    assert len(tried) == 30
    assert activities[0] == (0.0, "0 of 30 trials")
    assert activities[-2:] == [(1.0, "30 of 30 trials"), (1.0, "tuned")]


def test_a_trial_in_another_process_is_measured_as_in_the_training(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left = tmp_path / f"tailorbird-trials-{os.getuid()}" / "1-killed"
    left.mkdir(parents=True)
    left.with_name("1-killed.lock").touch()
    spec = filled.spec(take_snapshot(filled.store, filled.tables("INTERACTIONS")).tables, "aws-sims")
    values = [{"popularity_discount_factor": text} for text in ("0.1", "0.9")]
    steps = ItemRecommendationSteps(Training.open(spec, filled.new_folder()))
    measure = steps.open_trials()
    here = [measure(item, ignore_progress) for item in values]
    assert here[0] != here[1]

    parts = [*(TrialPart(spec.model_dump_json(), item) for item in values), TrialPart("{}", {}, 0.25)]
    there = dict(LocalCompute(1).run(run_trial, parts, check=lambda: None))

    assert there == dict(enumerate([*here, 0.25]))
    assert list(left.parent.iterdir()) == []  # of that process, and of one that was killed
