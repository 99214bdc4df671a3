"""What trainings measure: intervals, baselines, and the comparison with the version before."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.artifacts import open_artifact, publish_artifact, read_manifest
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from tests.trainer.place import walks
from tests.trainer.training.running import KEYS, train
from trainer.worker import NO_DETAILS, NullJobContext

PRIMARY_METRIC = "standard_normalized_discounted_cumulative_gain_at_25"
OWN = {
    "new_item_share", "recall_at_5", "recall_at_10", "recall_at_25",
    *(f"standard_normalized_discounted_cumulative_gain_at_{cut}" for cut in (5, 10, 25)),
}  # fmt: skip
SMALL_SEGMENTS = '{"algorithmHyperParameters": {"hidden_dimension": "32"}}'
STRATA = {f"recall_at_25_of_{name}_items" for name in ("head", "mid", "tail")}


@pytest.fixture
def filled(place):
    place.write("a.csv", *walks(users=400))
    place.bring("s3://films/a.csv")
    return place


def after(number: int) -> jobs_pb2.PredecessorVersion:
    return jobs_pb2.PredecessorVersion(solution_version_arn=f"arn:v{number}", artifact_location=f"artifacts/v{number}")


def version(place, number: int, recipe: str, **more) -> evaluation_pb2.Evaluation:
    return train(place, recipe, location=f"artifacts/v{number}", **more).evaluation


def named(metrics) -> dict[str, evaluation_pb2.MeasuredMetric]:
    return {metric.name: metric for metric in metrics}


def measured_model(place, number: int):
    manifest = read_manifest(place.store, f"artifacts/v{number}")
    return open_artifact(place.store, f"artifacts/v{number}/{manifest.measured_model}", cache=place.root / "cache")


def test_every_metric_has_an_interval_of_model_and_baselines(filled):
    evaluation = version(filled, 1, "aws-sims")

    manifest = read_manifest(filled.store, "artifacts/v1")
    assert manifest.evaluation == evaluation
    assert (evaluation.test_users, evaluation.hidden_items, evaluation.confidence) == (40, 80, 0.95)
    assert not evaluation.HasField("comparison")
    assert [item.name for item in evaluation.baselines] == ["popularity", "sequence-rules"]
    for model in (evaluation.model, *evaluation.baselines):
        for metrics in (named(model.metrics), named(model.metrics_without_repeats)):
            assert set(metrics) - STRATA == KEYS | OWN
            assert not metrics.pop("coverage").HasField("low")
            assert all(item.low - 1e-9 <= item.value <= item.high + 1e-9 for item in metrics.values())
    assert {name: round(named(evaluation.model.metrics)[name].value, 4) for name in KEYS} == dict(manifest.metrics)
    gain = {item.name: named(item.metrics)[PRIMARY_METRIC] for item in (evaluation.model, *evaluation.baselines)}
    assert gain["popularity"].high < gain["model"].low  # who walks along a ring is no follower of fashion


def test_the_model_that_is_compared_has_not_seen_the_test_users(filled):
    version(filled, 1, "aws-popularity-count")

    served = open_artifact(filled.store, "artifacts/v1", cache=filled.root / "cache")
    kept = measured_model(filled, 1)
    counts = [np.load(folder / "item_vectors.npy").sum() for folder in (served.folder, kept.folder)]
    assert counts == [400 * 20, 360 * 20]
    assert [file.path for file in served.manifest.files if "measured" in file.path] == []
    keys = Vocabulary.load(served.folder, "users").keys()
    assert kept.manifest.highest_test_key == np.sort(keys)[39]


class Overtaken(NullJobContext):
    """Lets another attempt publish just before this one does."""

    def __init__(self, place):
        self._place = place

    def report(self, *, fraction, activity, details=NO_DETAILS):
        if activity == "publishing":
            (self._place.root / "other").mkdir()
            (self._place.root / "other" / "item_vectors.npy").write_bytes(b"1")
            manifest = ArtifactManifest(metrics={"coverage": 0.125})
            publish_artifact(self._place.store, "artifacts/v1", files=self._place.root / "other", manifest=manifest)


def test_an_attempt_that_comes_too_late_leaves_nothing_behind(filled):
    result = train(filled, "aws-popularity-count", location="artifacts/v1", context=Overtaken(filled))

    assert dict(result.metrics) == {"coverage": 0.125}
    left = [item.path.rpartition("/")[2] for item in filled.store.list("artifacts/v1")]
    assert sorted(left) == ["item_vectors.npy", "manifest.json"]


def test_a_version_like_the_one_before_is_undecided(filled):
    version(filled, 1, "aws-sims")

    comparison = version(filled, 2, "aws-sims", predecessor=after(1)).comparison

    assert (comparison.solution_version_arn, comparison.users, comparison.judged_by) == ("arn:v1", 40, PRIMARY_METRIC)
    assert comparison.verdict == evaluation_pb2.VERDICT_UNDECIDED
    assert {(item.low, item.high, item.value - item.predecessor) for item in comparison.differences} == {
        (0.0, 0.0, 0.0)
    }
    assert "not significantly different from arn:v1" in comparison.reason


@pytest.mark.parametrize(
    ("recipes", "verdict", "words"),
    [
        (("aws-sims", "aws-popularity-count"), evaluation_pb2.VERDICT_WORSE, "significantly worse than arn:v1"),
        (("aws-popularity-count", "aws-sims"), evaluation_pb2.VERDICT_BETTER, "significantly better than arn:v1"),
    ],
)
def test_a_planted_difference_is_found(filled, recipes, verdict, words):
    version(filled, 1, recipes[0])

    comparison = version(filled, 2, recipes[1], predecessor=after(1)).comparison

    assert (comparison.verdict, comparison.users) == (verdict, 40)
    assert comparison.reason.startswith(words)
    assert "on 40 users" in comparison.reason


def test_items_and_event_types_are_matched_by_name_when_data_grow(filled):
    version(filled, 1, "aws-sims")
    # New items come before the old ones in the alphabet, and a new type before the old one by frequency.
    grown = [line.replace(",i", ",a").replace("watch", "click").replace("u", "v", 1) for line in walks(users=500)]
    filled.write("b.csv", *grown)
    filled.bring("s3://films/b.csv", replace=False)

    comparison = version(filled, 2, "aws-sims", predecessor=after(1)).comparison

    (gain,) = (item for item in comparison.differences if item.name == PRIMARY_METRIC)
    old = named(read_manifest(filled.store, "artifacts/v1").evaluation.model.metrics)[PRIMARY_METRIC].value
    kept = measured_model(filled, 1).manifest.highest_test_key
    users = Vocabulary.load(open_artifact(filled.store, "artifacts/v2", cache=filled.root).folder, "users")
    tested = np.sort(users.keys())[:90]
    assert comparison.users == (tested <= kept).sum()
    # Old users are served as before; of the new ones' items the champion knows none.
    in_both = sum(name.startswith("u") for name in users.ids(np.flatnonzero(users.keys() <= min(kept, tested[-1]))))
    assert gain.predecessor == pytest.approx(old * in_both / comparison.users, rel=0.15)
    assert gain.value > gain.predecessor > 0.3 * old
    assert comparison.verdict == evaluation_pb2.VERDICT_BETTER


def test_segments_are_measured_with_intervals_beside_the_most_active_users(filled):
    evaluation = version(filled, 1, "aws-item-affinity", solution_config=SMALL_SEGMENTS)

    manifest = read_manifest(filled.store, "artifacts/v1")
    assert manifest.evaluation == evaluation
    assert (evaluation.test_users, evaluation.confidence, evaluation.bootstrap_samples) == (400, 0.95, 2000)
    assert [item.name for item in evaluation.baselines] == ["active-users"]
    for model, shown in (
        (evaluation.model, manifest.metrics),
        (evaluation.baselines[0], manifest.baselines[0].metrics),
    ):
        metrics = named(model.metrics)
        assert {name: round(item.value, 4) for name, item in metrics.items()} == dict(shown)
        assert set(metrics) == {"coverage", "hits_at_1_percent", "recall_at_1_percent"}
        listed = round(metrics.pop("coverage").value * 400)
        assert {item.users for item in metrics.values()} == {listed}
        assert all(item.low - 1e-9 <= item.value <= item.high + 1e-9 for item in metrics.values())
    # Everybody walks along the ring: the next are known, and the most active are nobody in particular.
    assert named(evaluation.baselines[0].metrics)["recall_at_1_percent"].high < evaluation.model.metrics[2].low
    assert not evaluation.HasField("comparison")


def test_a_predecessor_that_kept_no_model_cannot_be_compared(filled):
    version(filled, 1, "aws-sims")
    manifest = json.loads(filled.store.get("artifacts/v1/manifest.json"))
    del manifest["measured_model"]  # as in artifacts of earlier releases
    filled.store.put("artifacts/v1/manifest.json", json.dumps(manifest).encode())

    comparison = version(filled, 2, "aws-sims", predecessor=after(1)).comparison

    assert (comparison.verdict, comparison.users) == (evaluation_pb2.VERDICT_NOT_COMPARED, 0)
    assert comparison.reason == "arn:v1 kept no model to be compared with"


def test_a_damaged_predecessor_keeps_nobody_from_training(filled):
    version(filled, 1, "aws-sims")
    (measured_model(filled, 1).folder / "item_vectors.npy").unlink()

    comparison = version(filled, 2, "aws-sims", predecessor=after(1)).comparison

    assert comparison.verdict == evaluation_pb2.VERDICT_NOT_COMPARED
    assert "arn:v1 cannot be measured: " in comparison.reason
    assert "item_vectors.npy` is missing" in comparison.reason
