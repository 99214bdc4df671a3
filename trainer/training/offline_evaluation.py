"""Everything that is measured of a fitted model and of the baselines that it has to beat."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.components.objective import average_rewards
from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.evaluation.bootstrap import CONFIDENCE, SAMPLES, Resampled, interval
from recipes.evaluation.evaluator import Evaluator, Measured
from recipes.evaluation.metrics import published
from recipes.evaluation.ranking import CatalogueScores, by_scorer, codes_of_users, situated_queries, top_items
from recipes.evaluation.splits import Split
from recipes.models.popularity.config import PopularityConfig
from recipes.models.popularity.fit import PopularityFitter
from recipes.ports import ItemScorer
from recipes.spec import RecipeKind, RecipeSpec
from trainer.training.context_features import first_hidden
from trainer.training.loading import LoadedData

__all__ = [
    "MetricValues",
    "add_fit_metrics",
    "evaluation",
    "evaluation_of",
    "measure_baselines",
    "model_scores",
    "personalize_metrics",
    "rewards_metric",
]

#: Recommendations among which the most rewarding are looked for: as many as one request can ask for.
_LONG_LIST = 500
#: Metrics that the fitters of a kind measure on newest data that they hide themselves, by their names in the report;
#: those of the popularity baseline stand beside them with `popularity_` in front.
_FIT_METRICS = {RecipeKind.TRENDING_ITEMS: ("trend_prediction_accuracy",)}


class MetricValues(Protocol):
    """What a model earned by metrics of its own: those of action propensities, or a `Measurement`."""

    @property
    def coverage(self) -> float:
        """Share of what may be recommended that is."""

    @property
    def users(self) -> Resampled:
        """Every other metric."""


def model_scores(fitted: ItemScorer, split: Split, loaded: LoadedData) -> CatalogueScores:
    """Score the test users of a split as they would be served: each in the situation of what is hidden first."""
    situations = first_hidden(loaded.data, split)
    user_features = codes_of_users(fitted, loaded.data.users, n_users=loaded.data.n_users)
    of_tested = None if user_features is None else user_features[split.users]
    queries = situated_queries(fitted, split.histories, situations, user_features=of_tested)
    return by_scorer(fitted, split.histories, queries=queries)


def measure_baselines(exam: Evaluator, *, seed: int) -> dict[str, Measured]:
    """Fit popularity and sequence rules to what the model learnt from, and measure them; by name."""
    split = exam.split
    popular = PopularityFitter(PopularityConfig(), seed=seed).fit(split.training)
    return {
        "popularity": exam.measure(by_scorer(popular, split.histories)),
        "sequence-rules": exam.measure(SequentialRulesBaseline.fit(split.training).scores(split.histories)),
    }


def personalize_metrics(measured: Measured) -> dict[str, float]:
    """Return a baseline's metrics under Personalize's keys.

    A baseline knows nothing of repeats; each is given the benefit of the doubt: with what users have seen in its lists
    or without, whichever earns more.
    """
    both = (measured.served.personalize(), measured.without_repeats.personalize())
    return max(both, key=lambda metrics: metrics["normalized_discounted_cumulative_gain_at_25"])


def rewards_metric(scores: CatalogueScores, split: Split, rewards: NDArray[np.float64]) -> dict[str, float]:
    """Measure what an objective earns: Personalize's `average_rewards_at_k`.

    Args:
        scores: Of the test users, as they would be served.
        split: By users.
        rewards: float64 [n_items], the column of the objective.
    """
    lists = top_items(scores, n_items=len(rewards), histories=split.histories, limit=_LONG_LIST)
    hidden = [split.relevant.of(row).items for row in range(len(lists))]
    return published({"average_rewards_at_k": average_rewards(lists, hidden, rewards)})


def add_fit_metrics(
    declared: RecipeSpec,
    report: Mapping[str, float],
    *,
    metrics: dict[str, float],
    baselines: Mapping[str, dict[str, float]],
) -> None:
    """Add what the fitter has measured itself on data that it hid: to the metrics, and to those of popularity."""
    names = _FIT_METRICS.get(declared.kind, ())
    metrics |= published({name: report[name] for name in names})
    baselines["popularity"].update(published({name: report[f"popularity_{name}"] for name in names}))


def evaluation(
    exam: Evaluator,
    model: Measured,
    baselines: dict[str, Measured],
    *,
    comparison: evaluation_pb2.Comparison | None,
    seed: int,
) -> evaluation_pb2.Evaluation:
    """Put together what was measured, with intervals.

    Args:
        exam: By which.
        model: What the model earned.
        baselines: What the baselines earned, by name.
        comparison: With the version before; None for a first one.
        seed: Of the draws of users.
    """
    relevant = exam.split.relevant
    hidden = np.unique(relevant.owners() * len(exam.facts) + relevant.items) % len(exam.facts)
    return evaluation_pb2.Evaluation(
        test_users=len(exam.split.users),
        hidden_items=len(hidden),
        hidden_new_item_share=float(exam.facts.new[hidden].mean()),
        bootstrap_samples=SAMPLES,
        confidence=CONFIDENCE,
        model=_model("model", model, seed=seed),
        baselines=[_model(name, measured, seed=seed) for name, measured in baselines.items()],
        comparison=comparison,
    )


def evaluation_of(
    model: MetricValues,
    baselines: Mapping[str, MetricValues],
    *,
    test_users: int,
    comparison: evaluation_pb2.Comparison | None,
    seed: int,
) -> evaluation_pb2.Evaluation:
    """Put together what was measured by metrics that no list of items has.

    Args:
        model: What the model earned.
        baselines: What the baselines earned, by name.
        test_users: Users of whom something was hidden.
        comparison: With the version before; None for a first one.
        seed: Of the draws of users.
    """
    return evaluation_pb2.Evaluation(
        test_users=test_users,
        bootstrap_samples=SAMPLES,
        confidence=CONFIDENCE,
        model=evaluation_pb2.ModelEvaluation(name="model", metrics=_metrics(model, seed=seed)),
        baselines=[
            evaluation_pb2.ModelEvaluation(name=name, metrics=_metrics(earned, seed=seed))
            for name, earned in baselines.items()
        ],
        comparison=comparison,
    )


def _model(name: str, measured: Measured, *, seed: int) -> evaluation_pb2.ModelEvaluation:
    return evaluation_pb2.ModelEvaluation(
        name=name,
        metrics=_metrics(measured.served, seed=seed),
        metrics_without_repeats=_metrics(measured.without_repeats, seed=seed),
    )


def _metrics(earned: MetricValues, *, seed: int) -> Iterator[evaluation_pb2.MeasuredMetric]:
    users = earned.users
    yield evaluation_pb2.MeasuredMetric(name="coverage", value=earned.coverage, users=len(users))
    # What nobody counts in has no interval.
    low, high = interval(users, seed=seed) if len(users) else np.full((2, len(users.names)), np.nan)
    columns = (users.values(), low, high, users.counted())
    for name, value, *ends, of in zip(users.names, *(column.tolist() for column in columns), strict=True):
        if not math.isnan(value):
            told = {} if math.isnan(ends[0]) else {"low": ends[0], "high": ends[1]}
            yield evaluation_pb2.MeasuredMetric(name=name, value=value, users=of, **told)
