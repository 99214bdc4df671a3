"""Personalize's own evaluation, to compare with its figures: `python -m benchmarks.quality.personalize_split DATA`.

A tenth of the users is hidden from the model; of each the oldest nine tenths of the interactions are the history, the
newest tenth are relevant. Lists are not cleared of what users have seen, as Personalize does not clear them. The users
to hide are drawn several times, for they are few and one draw says little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import DATA_ROOT, DEMO, load
from benchmarks.quality.sets import eases
from benchmarks.report import markdown_table, publish, spread
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.data.histories import FloatArray, Histories
from recipes.data.training_data import TrainingData
from recipes.evaluation.metrics import LIST_LENGTH, personalize_metrics
from recipes.evaluation.ranking import CatalogueScores, top_items
from recipes.evaluation.splits import Split, hold_out_users
from recipes.registry import make_fitter, read_config

__all__ = ["measure", "newest_first", "run_draw"]

_MODEL = "aws-user-personalization-v2"
_POPULARITY = "aws-popularity-count"
_SHOWN = {
    "MRR@25": "mean_reciprocal_rank_at_25",
    "P@5": "precision_at_5",
    "P@10": "precision_at_10",
    "P@25": "precision_at_25",
    "NDCG@25": "normalized_discounted_cumulative_gain_at_25",
    "coverage": "coverage",
}


def measure(scores: CatalogueScores, split: Split) -> dict[str, float]:
    """Return Personalize's metrics of lists in which everything may occur."""
    n_items = split.training.n_items
    lists = top_items(scores, n_items=n_items, histories=split.histories, limit=LIST_LENGTH)
    return personalize_metrics(lists, relevant=split.relevant, n_items=n_items)


def newest_first(histories: Histories, *, n_items: int) -> CatalogueScores:
    """Score items by how lately a user has used them: the baseline that repeats what was done."""

    def scores(rows: slice) -> FloatArray:
        values = np.zeros((rows.stop - rows.start, n_items), np.float32)
        for row in range(rows.start, rows.stop):
            items = histories.of(row).items
            values[row - rows.start, items] = np.arange(1, len(items) + 1)
        return values

    return scores


def run_draw(
    name: str, data: TrainingData, *, draw: int, hyperparameters: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Split, fit and measure once.

    Args:
        name: Of the recipe.
        data: Everything.
        draw: Decides who is hidden, and is the seed of the fit.
        hyperparameters: As they travel in the API.

    Returns:
        Metrics and seconds, by model.
    """
    split = hold_out_users(data, seed=draw)
    metrics = {}
    for model, values in ((_POPULARITY, {}), (name, hyperparameters)):
        declared = get_recipe(model)
        started = time.perf_counter()
        made = make_fitter(declared, read_config(declared, values), seed=draw)
        scorer = made.fit(split.training)
        fitted = {f"{model}, fitted": scorer, model: made.extend(split.training)} if made.report else {model: scorer}
        seconds = time.perf_counter() - started
        for label, served in fitted.items():
            metrics[label] = {**measure(catalogue_scores(served, split.histories), split), "seconds": round(seconds, 1)}
    rules = SequentialRulesBaseline.fit(split.training).scores(split.histories)
    repeated = newest_first(split.histories, n_items=data.n_items)
    metrics |= {"sequence rules": measure(rules, split), "newest first": measure(repeated, split)}
    return metrics | {name: measure(fit(), split) for name, fit in eases(split.training, split.histories).items()}


def main() -> None:
    """Run and print; every draw's figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipe", default=_MODEL)
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    dataset = load(arguments.data)
    draws = [
        run_draw(arguments.recipe, dataset.data, draw=draw, hyperparameters=hyperparameters) for draw in arguments.draws
    ]
    runs = {model: [draw[model] for draw in draws] for model in draws[0]}
    figures = {
        "data": dataset.name,
        "users": dataset.data.n_users,
        "items": dataset.data.n_items,
        "interactions": len(dataset.data.interactions),
        "hyperparameters": hyperparameters,
        "draws": arguments.draws,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    rows = [
        (model, len(of_draws), *(spread([run[key] for run in of_draws]) for key in _SHOWN.values()))
        for model, of_draws in runs.items()
    ]
    about = "{data}: {users:,} users, {items:,} items, {interactions:,} interactions\n\n".format(**figures)
    return about + markdown_table(("model", "draws", *_SHOWN), rows)


if __name__ == "__main__":
    main()
