"""Trainings of a place, small enough for tests, and what they measure."""

from __future__ import annotations

from google.protobuf import json_format

from common.artifacts import open_artifact
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.trainer.place import Place, train_here
from trainer.training.process import TrainingRun
from trainer.worker import NullJobContext

QUICK_V1 = '{"algorithmHyperParameters": {"hidden_dimension": "32", "epochs": "1"}}'
QUICK = '{"algorithmHyperParameters": {"embedding_size": "16", "layers": "1", "epochs": "2", "max_length": "20"}}'
ENDLESS = '{"algorithmHyperParameters": {"embedding_size": "16", "epochs": "10000", "patience": "10000"}}'
KEYS = {
    "coverage", "mean_reciprocal_rank_at_25", "precision_at_5", "precision_at_10", "precision_at_25",
    *(f"normalized_discounted_cumulative_gain_at_{cut}" for cut in (5, 10, 25)),
}  # fmt: skip


def train(
    place: Place,
    recipe: str = "aws-popularity-count",
    *,
    context=None,
    location: str = "artifacts/films-1",
    solution_config: str = "{}",
    run: TrainingRun = train_here,
    **more,
):
    """Train on the tables of a place, in this process unless `run` says otherwise."""
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/1",
        artifact_location=location,
        recipe=recipe,
        solution_config=json_format.Parse(solution_config, SolutionConfig()),
        **{"tables": place.tables("INTERACTIONS", "ITEMS", "USERS"), "training_mode": "FULL", **more},
    )
    return place.training_handler(run).run(payload, context or NullJobContext())


def opened(place: Place):
    return open_artifact(place.store, "artifacts/films-1", cache=place.root / "cache")
