"""Everything that is measured of a fitted model, of the baselines that it has to beat, and beside its predecessor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.evaluation.bootstrap import CONFIDENCE, SAMPLES, Resampled, interval
from recipes.evaluation.comparison import JUDGED_BY, MIN_USERS, differences, judge
from recipes.evaluation.exam import Exam, Measured
from recipes.evaluation.metrics import UserValues, published
from recipes.evaluation.ranking import CatalogueScores, by_scorer, top_items
from recipes.evaluation.split import Split
from recipes.interface import Recipe
from recipes.objective import average_rewards
from recipes.popularity.config import PopularityConfig
from recipes.popularity.fit import PopularityFitter
from recipes.rules import SequenceRules
from trainer.training.order import PredecessorOrder
from trainer.training.predecessor import PredecessorValues

__all__ = [
    "Earned",
    "add_fit_metrics",
    "comparison",
    "evaluation",
    "evaluation_of",
    "measure_baselines",
    "personalize_metrics",
    "rewards_metric",
]

#: Recommendations among which the most rewarding are looked for: as many as one request can ask for.
_LONG_LIST = 500
_VERDICTS = {
    "BETTER": (evaluation_pb2.VERDICT_BETTER, "significantly better"),
    "WORSE": (evaluation_pb2.VERDICT_WORSE, "significantly worse"),
    "UNDECIDED": (evaluation_pb2.VERDICT_UNDECIDED, "not significantly different"),
}


class Earned(Protocol):
    """What a model earned by metrics of its own: `recipes.next_best_action.judging.Judged`, or a `Measurement`."""

    @property
    def coverage(self) -> float:
        """Share of what may be recommended that is."""

    @property
    def users(self) -> Resampled:
        """Every other metric."""


def measure_baselines(exam: Exam, *, seed: int) -> dict[str, Measured]:
    """Fit popularity and sequence rules to what the model learnt from, and measure them; by name."""
    split = exam.split
    popular = PopularityFitter(PopularityConfig(), seed=seed).fit(split.training)
    return {
        "popularity": exam.measure(by_scorer(popular, split.histories)),
        "sequence-rules": exam.measure(SequenceRules.fit(split.training).scores(split.histories)),
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
    declared: Recipe,
    report: Mapping[str, float],
    *,
    metrics: dict[str, float],
    baselines: Mapping[str, dict[str, float]],
) -> None:
    """Add what the fitter has measured itself on data that it hid: to the metrics, and to those of popularity."""
    metrics |= published({name: report[name] for name in declared.fit_metrics})
    baselines["popularity"].update(published({name: report[f"popularity_{name}"] for name in declared.fit_metrics}))


def evaluation(exam: Exam, model: Measured, baselines: dict[str, Measured], *, seed: int) -> evaluation_pb2.Evaluation:
    """Put together what was measured, with intervals.

    Args:
        exam: By which.
        model: What the model earned.
        baselines: What the baselines earned, by name.
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
    )


def evaluation_of(
    model: Earned,
    baselines: Mapping[str, Earned],
    *,
    test_users: int,
    predecessor: PredecessorOrder | None,
    seed: int,
) -> evaluation_pb2.Evaluation:
    """Put together what was measured by metrics that no list of items has; versions are not compared by them.

    Args:
        model: What the model earned.
        baselines: What the baselines earned, by name.
        test_users: Users of whom something was hidden.
        predecessor: Of the version.
        seed: Of the draws of users.
    """
    told = evaluation_pb2.Evaluation(
        test_users=test_users,
        bootstrap_samples=SAMPLES,
        confidence=CONFIDENCE,
        model=evaluation_pb2.ModelEvaluation(name="model", metrics=_metrics(model, seed=seed)),
        baselines=[
            evaluation_pb2.ModelEvaluation(name=name, metrics=_metrics(earned, seed=seed))
            for name, earned in baselines.items()
        ],
    )
    if predecessor is not None:
        told.comparison.solution_version_arn = predecessor.solution_version_arn
        told.comparison.verdict = evaluation_pb2.VERDICT_NOT_COMPARED
        told.comparison.reason = "versions of this recipe are measured, but not compared"
    return told


def comparison(model: UserValues, predecessor: PredecessorValues, *, seed: int) -> evaluation_pb2.Comparison:
    """Compare the model with its predecessor.

    Args:
        model: What the model earned, of all test users.
        predecessor: What its predecessor earned of them, or why that cannot be said.
        seed: Of the draws of users.
    """
    compared = evaluation_pb2.Comparison(
        solution_version_arn=predecessor.solution_version_arn,
        verdict=evaluation_pb2.VERDICT_NOT_COMPARED,
        judged_by=JUDGED_BY,
        users=0,
        reason=predecessor.reason,
    )
    if predecessor.users is None:
        return compared
    own, others = model.where(predecessor.held_out), predecessor.users.where(predecessor.held_out)
    compared.users = len(own)
    if not len(own):
        compared.reason = f"{predecessor.solution_version_arn} was trained on all of the test users"
        return compared
    found = differences(own, others, seed=seed)
    compared.verdict, words = _VERDICTS[judge(own, others, found)]
    for item in found:
        compared.differences.add(
            name=item.name, value=item.value, predecessor=item.predecessor, low=item.low, high=item.high
        )
    decided = next((item for item in found if item.name == JUDGED_BY), None)
    assert decided is not None, "every test user has something to find"
    compared.reason = (
        f"{words} than {predecessor.solution_version_arn}"
        if compared.verdict != evaluation_pb2.VERDICT_UNDECIDED
        else f"{words} from {predecessor.solution_version_arn}"
    ) + (
        f": {JUDGED_BY} {decided.value:.4f} instead of {decided.predecessor:.4f}, 95 % interval of the difference "
        f"{decided.low:+.4f} to {decided.high:+.4f}, on {len(own)} users"
    )
    if len(own) < MIN_USERS:
        compared.reason += f"; fewer than {MIN_USERS} users decide nothing"
    return compared


def _model(name: str, measured: Measured, *, seed: int) -> evaluation_pb2.ModelEvaluation:
    return evaluation_pb2.ModelEvaluation(
        name=name,
        metrics=_metrics(measured.served, seed=seed),
        metrics_without_repeats=_metrics(measured.without_repeats, seed=seed),
    )


def _metrics(earned: Earned, *, seed: int) -> Iterator[evaluation_pb2.MeasuredMetric]:
    users = earned.users
    yield evaluation_pb2.MeasuredMetric(name="coverage", value=earned.coverage, users=len(users))
    # What nobody counts in has no interval.
    low, high = interval(users, seed=seed) if len(users) else np.full((2, len(users.names)), np.nan)
    columns = (users.values(), low, high, users.counted())
    for name, value, *ends, of in zip(users.names, *(column.tolist() for column in columns), strict=True):
        if not math.isnan(value):
            told = {} if math.isnan(ends[0]) else {"low": ends[0], "high": ends[1]}
            yield evaluation_pb2.MeasuredMetric(name=name, value=value, users=of, **told)
