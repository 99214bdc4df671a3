"""What is measured of a fitted model and of the baselines that it has to beat, as the contract's `Evaluation`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from common.artifacts import Artifact
from protos.tailorbird.storage.v1 import artifact_manifest_pb2, evaluation_pb2
from recipes.evaluation.bootstrap import CONFIDENCE, SAMPLES, Resampled, interval
from recipes.evaluation.metrics import UserValues, published
from recipes.evaluation.paired_tests import Pair

__all__ = ["MetricValues", "OfflineEvaluation", "evaluate_by", "evaluation_message", "metric_messages"]


class MetricValues(Protocol):
    """The metrics of one model: a `Measurement` of lists of items, or what a kind has instead."""

    @property
    def coverage(self) -> float:
        """Share of what may be recommended that is, 0 to 1."""

    @property
    def users(self) -> Resampled:
        """Every other metric, user by user."""

    def named(self) -> dict[str, float]:
        """Return all metrics by name."""


@dataclass(frozen=True, slots=True)
class OfflineEvaluation:
    """What was measured of a model.

    Attributes:
        metrics: Under Personalize's keys, rounded as it shows them.
        baselines: The same metrics by name of the baseline.
        message: Everything, with intervals; None where no users were held out whom intervals could be drawn from.
        pair_with: Measures another version's model, as it was measured then, on the users that neither has learnt from;
            None where versions of the kind are not compared.
        by_user: Metrics of the test users in the order of their keys, the same users in the same order for every recipe
            that is measured by lists of items; None for the others.
    """

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    message: evaluation_pb2.Evaluation | None = None
    pair_with: Callable[[Artifact], Pair] | None = None
    by_user: UserValues | None = None

    def add_comparison(self, comparison: evaluation_pb2.Comparison) -> None:
        """Add the comparison with the version before."""
        assert self.message is not None, "versions are compared on the users that were held out"
        self.message.comparison.CopyFrom(comparison)

    def describe(self, manifest: artifact_manifest_pb2.ArtifactManifest, *, warnings: Sequence[str]) -> None:
        """Write everything into a manifest, and warnings about the data."""
        manifest.metrics.update(self.metrics)
        for name, metrics in self.baselines.items():
            manifest.baselines.add(name=name, metrics=metrics)
        if self.message is not None:
            manifest.evaluation.CopyFrom(self.message)
            manifest.evaluation.warnings.extend(warnings)


def evaluate_by(
    model: MetricValues,
    baselines: Mapping[str, MetricValues],
    *,
    test_users: int,
    pair_with: Callable[[Artifact], Pair],
    seed: int,
) -> OfflineEvaluation:
    """Put together what was measured by metrics that lists of items do not have.

    Args:
        model: The metrics of the model.
        baselines: The metrics of the baselines, by name.
        test_users: Users of whom something was hidden.
        pair_with: Measures another version's model, see `OfflineEvaluation`.
        seed: Where the draws of users begin.
    """
    message = evaluation_message(
        evaluation_pb2.ModelEvaluation(name="model", metrics=metric_messages(model, seed=seed)),
        [
            evaluation_pb2.ModelEvaluation(name=name, metrics=metric_messages(values, seed=seed))
            for name, values in baselines.items()
        ],
        test_users=test_users,
    )
    return OfflineEvaluation(
        published(model.named()),
        {name: published(values.named()) for name, values in baselines.items()},
        message,
        pair_with,
    )


def evaluation_message(
    model: evaluation_pb2.ModelEvaluation, baselines: Sequence[evaluation_pb2.ModelEvaluation], *, test_users: int
) -> evaluation_pb2.Evaluation:
    """Say how intervals were drawn, and what was measured."""
    return evaluation_pb2.Evaluation(
        test_users=test_users, bootstrap_samples=SAMPLES, confidence=CONFIDENCE, model=model, baselines=baselines
    )


def metric_messages(values: MetricValues, *, seed: int) -> Iterator[evaluation_pb2.MeasuredMetric]:
    """Yield all metrics, those with users with their intervals.

    Args:
        values: The metrics of a model.
        seed: Where the draws of users begin.
    """
    users = values.users
    yield evaluation_pb2.MeasuredMetric(name="coverage", value=values.coverage, users=len(users))
    # What nobody counts in has no interval.
    low, high = interval(users, seed=seed) if len(users) else np.full((2, len(users.names)), np.nan)
    columns = (users.values(), low, high, users.counted())
    for name, value, *ends, counted in zip(users.names, *(column.tolist() for column in columns), strict=True):
        if not math.isnan(value):
            bounds = {} if math.isnan(ends[0]) else {"low": ends[0], "high": ends[1]}
            yield evaluation_pb2.MeasuredMetric(name=name, value=value, users=counted, **bounds)
