"""Users for items by Personalize's protocol: `python -m benchmarks.quality.segments DATA`.

The newest fifth of each user's interactions is hidden (rounded down; users with fewer than five hide none). For each
item that was used in them all users are ranked, and the first hundredth is compared with those who used it: hits@1 % is
the mean number of right users, recall@1 % the mean share of all right users. The baselines list the most active users,
with those who used the item before or without.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import DATA_ROOT, load
from benchmarks.report import markdown_table, publish
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.user_segments.config import SegmentsConfig
from recipes.models.user_segments.evaluation import Question, evaluate, hold_out_newest
from recipes.models.user_segments.fit import ItemAffinityFitter
from recipes.models.user_segments.score import SegmentScorer, Weights

__all__ = ["measure"]


def measure(data: TrainingData, *, hidden_dimension: int, seed: int) -> dict[str, Any]:
    """Fit, rank and return the figures by name."""
    split = hold_out_newest(data)
    fitter = ItemAffinityFitter(SegmentsConfig(hidden_dimension=hidden_dimension), seed=seed)
    began = time.perf_counter()
    scorer = fitter.fit(split.training)
    seconds = time.perf_counter() - began
    questions = fitter.questions(split)
    rankers = {
        "aws-item-affinity": fitter.prepare(scorer, questions)(scorer.weights),
        "most active users": _most_active(scorer, split.training, earlier_use=0.0),
        "most active users, new to the item": _most_active(scorer, split.training, earlier_use=-np.inf),
    }
    return {
        "questions": len(questions),
        "settings": dict(fitter.report),
        "fit_seconds": round(seconds, 1),
        "runs": {name: evaluate(questions, ranker, n_users=data.n_users).named() for name, ranker in rankers.items()},
    }


def _most_active(
    scorer: SegmentScorer, training: TrainingData, *, earlier_use: float
) -> Callable[[Question], FloatArray]:
    interactions = training.histories().lengths().astype(np.float32)
    plain = replace(scorer, activity=interactions, weights=Weights(activity=1.0, earlier_use=earlier_use, period=0.0))
    nothing = np.zeros(scorer.n_users, np.float32)
    return lambda question: plain.of_item(int(question.items[0]), affinity=nothing)


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"`demo`, or a table with times, perhaps below ${DATA_ROOT}")
    parser.add_argument("--hidden-dimension", type=int, default=SegmentsConfig().hidden_dimension)
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    dataset = load(arguments.data)
    data = dataset.data
    figures = {
        "data": dataset.name,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": len(data.interactions),
        **measure(data, hidden_dimension=arguments.hidden_dimension, seed=0),
    }
    publish(figures, table=_table(figures), output=arguments.output)


def _table(figures: Mapping[str, Any]) -> str:
    header = ("users", "hits@1 %", "recall@1 %", "coverage")
    rows = [
        (
            name,
            f"{run['hits_at_1_percent']:.3f}",
            f"{run['recall_at_1_percent']:.4f}",
            f"{run['coverage']:.3f}",
        )
        for name, run in figures["runs"].items()
    ]
    about = (
        "{data}: {users:,} users, {questions:,} of {items:,} items asked for, fitted in {fit_seconds} s\n{settings}\n\n"
    )
    return about.format(**figures) + markdown_table(header, rows)


if __name__ == "__main__":
    main()
