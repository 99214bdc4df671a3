"""Which item comes next, by the sequential literature's protocol: `python -m benchmarks.quality.leave_one_out DATA`.

Of every user with at least three interactions the newest is the target and the second newest decides when to stop, so
that models learn from what is before the two. The user's history, the second newest included, is shown; items in it are
left out; the target is ranked among all others, none sampled. Kang and McAuley, "Self-Attentive Sequential
Recommendation" (ICDM 2018), hide the same; they rank among a hundred sampled items, which later work gave up as
misleading (Krichene and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT, DEMO, load
from benchmarks.quality.sets import eases
from benchmarks.report import markdown_table, publish, spread
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.data.histories import Histories, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import hit_rate, ndcg
from recipes.evaluation.ranking import CatalogueScores, target_ranks
from recipes.registry import make_fitter, read_config

__all__ = ["LeaveOneOut", "count_held_out", "leave_one_out", "metrics", "run_recipe", "run_rules"]

_MIN_LENGTH = 3
_MODEL = "aws-user-personalization-v2"
_BASELINE = "aws-popularity-count"


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The protocol's parts.

    Attributes:
        learnt: Without the two newest interactions of tested users.
        shown: Without their newest one.
        histories: Of the tested users, from `shown`.
        targets: int32 [tested users].
    """

    learnt: TrainingData
    shown: TrainingData
    histories: Histories
    targets: ItemIndexes


def leave_one_out(data: TrainingData) -> LeaveOneOut:
    """Divide the data; users with fewer than three interactions are learnt from and not tested."""
    histories = data.histories()
    tested = np.flatnonzero(histories.lengths() >= _MIN_LENGTH)
    newest = histories.offsets[tested + 1] - 1

    def without(places: NDArray[np.int64]) -> TrainingData:
        kept = np.ones(len(data.interactions), bool)
        kept[places] = False
        return data.where(kept)

    shown = without(newest)
    learnt = without(np.concatenate([newest, newest - 1]))
    return LeaveOneOut(learnt, shown, shown.histories().take(tested), histories.items[newest])


def count_held_out(split: LeaveOneOut) -> int:
    """Return how many steps a recipe is to hold out: one of each user with two. More would cost long histories more."""
    return int((split.shown.histories().lengths() >= 2).sum())


def metrics(scores: CatalogueScores, split: LeaveOneOut) -> dict[str, float]:
    """Rank every target among the items that are not in its user's history."""
    ranks = target_ranks(
        scores, n_items=split.shown.n_items, histories=split.histories, targets=split.targets, exclude_seen=True
    )
    return {"ndcg_at_10": ndcg(ranks, 10), "hit_rate_at_10": hit_rate(ranks, 10)}


def run_recipe(
    name: str, split: LeaveOneOut, *, hyperparameters: Mapping[str, str], seed: int, extend: bool = False
) -> dict[str, float]:
    """Fit and measure one recipe.

    Args:
        name: Of the recipe.
        split: The data.
        hyperparameters: As they travel in the API.
        seed: Of the fit.
        extend: Go on with the second newest interactions before measuring, as is done with models that are deployed.

    Returns:
        Metrics, what the fit reports, and its seconds.
    """
    declared = get_recipe(name)
    values = dict(hyperparameters)
    # A recipe that holds out on its own is given what it is to hold out: the second newest of every tested user.
    holds_out = "validation_targets" in declared.hyper_parameters
    if holds_out:
        values.setdefault("validation_targets", str(count_held_out(split)))
    made = make_fitter(declared, read_config(declared, values), seed=seed)
    started = time.perf_counter()
    scorer = made.fit(split.shown if holds_out else split.learnt)
    if extend:
        scorer = made.extend(split.shown)
    seconds = time.perf_counter() - started
    measured = metrics(catalogue_scores(scorer, split.histories), split)
    return {**measured, "seconds": round(seconds, 1), **made.report}


def run_rules(split: LeaveOneOut) -> dict[str, float]:
    """Count and measure sequence rules, which nothing that is trained should be below."""
    started = time.perf_counter()
    rules = SequentialRulesBaseline.fit(split.learnt)
    seconds = time.perf_counter() - started
    return {**metrics(rules.scores(split.histories), split), "seconds": round(seconds, 1)}


def run_eases(split: LeaveOneOut) -> dict[str, dict[str, float]]:
    """Fit and measure EASE with a few penalties, where the catalogue allows: by name, as from `run_rules`."""
    runs = {}
    for name, fit in eases(split.learnt, split.histories).items():
        started = time.perf_counter()
        scores = fit()
        seconds = time.perf_counter() - started
        runs[name] = {**metrics(scores, split), "seconds": round(seconds, 1)}
    return runs


def main() -> None:
    """Run and print; every seed's figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipe", default=_MODEL)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--extend", action="store_true", help="measure the model as it is deployed: not the protocol")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    dataset = load(arguments.data)
    split = leave_one_out(dataset.data)
    name = arguments.recipe + (", extended" if arguments.extend else "")
    runs = {
        _BASELINE: [run_recipe(_BASELINE, split, hyperparameters={}, seed=0)],
        "sequence rules": [run_rules(split)],
        **{ease: [run] for ease, run in run_eases(split).items()},
        name: [
            run_recipe(arguments.recipe, split, hyperparameters=hyperparameters, seed=seed, extend=arguments.extend)
            for seed in arguments.seeds
        ],
    }
    figures = {
        "data": dataset.name,
        "users": len(split.targets),
        "items": dataset.data.n_items,
        "interactions": len(dataset.data.interactions),
        "hyperparameters": hyperparameters,
        "seeds": arguments.seeds,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    header = ("model", "seeds", "NDCG@10", "HR@10", "seconds")
    rows = []
    for name, of_seeds in runs.items():
        shown = [spread([run[key] for run in of_seeds]) for key in ("ndcg_at_10", "hit_rate_at_10")]
        rows.append((name, len(of_seeds), *shown, f"{statistics.mean(run['seconds'] for run in of_seeds):.1f}"))
    about = "{data}: {users:,} users tested, {items:,} items, {interactions:,} interactions\n\n".format(**figures)
    return about + markdown_table(header, rows)


if __name__ == "__main__":
    main()
