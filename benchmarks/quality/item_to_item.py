"""Items for users by the neighbours of their items: `python -m benchmarks.quality.item_to_item DATA`.

The protocol of NGCF and LightGCN (He et al., "LightGCN", SIGIR 2020) on a published split: every user's test items are
ranked among all items but those that the user has in training. Recall is divided by the number of test items.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT
from benchmarks.quality.sets import HiddenSets, find_folder, fit_recipe, ndcg_at, ranked_hits, recall_at
from benchmarks.report import markdown_table, publish
from common.errors import InvalidInput, invalid
from recipes.data.gram_matrix import distinct_items
from recipes.data.training_data import Interactions, TrainingData

__all__ = ["measure", "read_split"]

_LIMIT = 20
_BASELINE = "aws-popularity-count"
_RECIPES = ("aws-sims", "aws-similar-items")


def read_split(folder: Path) -> HiddenSets:
    """Read `train.txt` and `test.txt`, perhaps with .gz: lines of `user item item ...`, all of them numbers from 0.

    There are no times, and the order of a line means nothing.

    Raises:
        InvalidInput: A file is missing, or a line is not of that form.
    """
    train, test = (_read(folder, name) for name in ("train.txt", "test.txt"))
    n_users, n_items = (
        1 + max(int(train[column].max(initial=-1)), int(test[column].max(initial=-1))) for column in (0, 1)
    )
    learnt, hidden = (_data(rows, n_users=n_users, n_items=n_items) for rows in (train, test))
    relevant = distinct_items(hidden)
    tested = np.flatnonzero(relevant.lengths() > 0)
    return HiddenSets(learnt, learnt.histories().take(tested), relevant.take(tested))


def measure(name: str, split: HiddenSets, *, hyperparameters: Mapping[str, str], seed: int) -> dict[str, float]:
    """Fit a recipe, rank, and return its metrics and the seconds of fitting and of ranking."""
    started = time.perf_counter()
    scores = fit_recipe(name, split, hyperparameters=hyperparameters, seed=seed)
    fitted = time.perf_counter()
    hits, hidden = ranked_hits(scores, split, limit=_LIMIT), split.relevant.lengths()
    return {
        "recall_at_20": recall_at(_LIMIT, hits, hidden, divisor="hidden"),
        "ndcg_at_20": ndcg_at(_LIMIT, hits, hidden),
        "fit_seconds": round(fitted - started, 1),
        "rank_seconds": round(time.perf_counter() - fitted, 1),
    }


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"folder of train.txt and test.txt, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipes", nargs="+", default=list(_RECIPES))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipes")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    folder = find_folder(arguments.data)
    split = read_split(folder)
    runs = {_BASELINE: measure(_BASELINE, split, hyperparameters={}, seed=0)}
    for name in arguments.recipes:
        runs[name] = measure(name, split, hyperparameters=hyperparameters, seed=0)
    figures = {
        "data": folder.name,
        "users": len(split.relevant),
        "items": split.training.n_items,
        "interactions": len(split.training.interactions),
        "hyperparameters": hyperparameters,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Mapping[str, float]]) -> str:
    header = ("model", "Recall@20", "NDCG@20", "seconds to fit")
    rows = [
        (name, f"{run['recall_at_20']:.4f}", f"{run['ndcg_at_20']:.4f}", run["fit_seconds"])
        for name, run in runs.items()
    ]
    about = "{data}: {users:,} users tested, {items:,} items, {interactions:,} interactions learnt from\n\n"
    return about.format(**figures) + markdown_table(header, rows)


def _read(folder: Path, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    files = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not files:
        raise InvalidInput(f"`data`: got {folder}, which has no {name}, want a folder of train.txt and test.txt")
    raw = files[0].read_bytes()
    users: list[int] = []
    items: list[int] = []
    for number, line in enumerate((gzip.decompress(raw) if files[0].suffix == ".gz" else raw).splitlines(), start=1):
        fields = _numbers(line, at=f"{name}:{number}")
        users += fields[:1] * (len(fields) - 1)
        items += fields[1:]
    return np.array(users, np.int64), np.array(items, np.int64)


def _numbers(line: bytes, *, at: str) -> list[int]:
    fields = line.split()
    if not all(field.isdigit() for field in fields):
        raise invalid(at, got=line.decode(errors="replace"), want="a user and items, all of them numbers from 0")
    return [int(field) for field in fields]


def _data(rows: tuple[NDArray[np.int64], NDArray[np.int64]], *, n_users: int, n_items: int) -> TrainingData:
    users, items = rows
    interactions = Interactions.sort(users, item=items, timestamp=np.zeros(len(users), np.int64))
    return TrainingData(interactions, n_users, n_items)


if __name__ == "__main__":
    main()
