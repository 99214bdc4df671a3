"""What users' columns add to histories: `python -m benchmarks.quality.user_columns DATA`.

DATA is a table of interactions with a table of users in the same folder, as RecBole publishes both: `NAME.inter` and
`NAME.user`. A recipe is fitted with the users' columns and without: to leave-one-out
(`benchmarks.quality.leave_one_out`), where histories are long; and with half of the users as newcomers, of whom only
the first few interactions are shown, to rank the ten that follow, each for itself, among all items that are not in the
history.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.quality.data import DATA_ROOT, Dataset, find_file, load
from benchmarks.quality.leave_one_out import count_held_out, leave_one_out
from benchmarks.report import markdown_table, publish, spread
from inference.batch import catalogue_scores, user_codes_of
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import Histories, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import ndcg
from recipes.evaluation.ranking import target_ranks
from recipes.ports import ItemScorer
from recipes.registry import make_fitter, read_config

__all__ = ["newcomers", "with_users"]

_MODEL = "aws-user-personalization-v2"
#: Interactions of newcomers that are to be found.
_TARGETS = 10


def with_users(dataset: Dataset, path: Path, *, categories: Sequence[str], numbers: Sequence[str]) -> TrainingData:
    """Return the data with columns of the users.

    Args:
        dataset: Without.
        path: Of a table with tabs whose first column is the user's id; types stand behind the names, `age:token`.
        categories: Names of columns.
        numbers: Names of columns.
    """
    table = pl.read_csv(path, separator="\t", infer_schema=False)
    table = table.rename({name: name.partition(":")[0] for name in table.columns})
    key = table.columns[0]
    rows = pl.DataFrame({key: dataset.users}).join(table, on=key, how="left", maintain_order="left")
    columns = Columns(
        categorical={
            name: CategoricalColumn.of_values([[value] if value else [] for value in rows[name]]) for name in categories
        },
        numeric={name: rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in numbers},
    )
    return replace(dataset.data, users=columns)


def newcomers(data: TrainingData, *, n_shown: int, seed: int) -> tuple[TrainingData, np.ndarray[Any, Any], Histories]:
    """Cut half of the users to their first `n_shown` interactions.

    Returns:
        What is learnt from, the newcomers, int64 [m], and what they did next.
    """
    histories = data.histories()
    enough = np.flatnonzero(histories.lengths() >= n_shown + _TARGETS)
    drawn = np.sort(np.random.default_rng(seed).permutation(enough)[: len(enough) // 2])
    place = np.arange(len(histories.items)) - histories.offsets[histories.owners()]
    new = np.zeros(data.n_users, bool)
    new[drawn] = True
    cut = new[histories.owners()]
    next_steps = histories.where(cut & (place >= n_shown) & (place < n_shown + _TARGETS)).take(drawn)
    return data.where(~cut | (place < n_shown)), drawn, next_steps


def _score(scorer: ItemScorer, data: TrainingData, users: np.ndarray[Any, Any], targets: ItemIndexes) -> float:
    """Return NDCG@10 of targets, int32 [m], of users, int64 [m], whose histories are those of the data."""
    histories = data.histories().take(users)
    user_features = user_codes_of(scorer, data.users, n_users=data.n_users)
    scores = catalogue_scores(scorer, histories, user_codes=None if user_features is None else user_features[users])
    ranks = target_ranks(scores, n_items=data.n_items, histories=histories, targets=targets, exclude_seen=True)
    return ndcg(ranks, 10)


def _fit(name: str, data: TrainingData, values: Mapping[str, str], *, seed: int) -> ItemScorer:
    declared = get_recipe(name)
    return make_fitter(declared, read_config(declared, values), seed=seed).fit(data)


def main() -> None:
    """Run and print; every seed's figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"such as ml-100k/ml-100k.inter.gz, perhaps below ${DATA_ROOT}")
    parser.add_argument("--categories", nargs="*", default=["gender", "occupation"], help="columns of the users")
    parser.add_argument("--numbers", nargs="*", default=["age"], help="columns of the users")
    parser.add_argument("--recipe", default=_MODEL)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--known", type=int, nargs="+", default=[0, 3], help="interactions of newcomers")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    values = dict(entry.split("=", 1) for entry in arguments.set)
    path = find_file(arguments.data)
    of_users = path.with_name(path.name.partition(".")[0] + ".user")
    described = with_users(load(str(path)), of_users, categories=arguments.categories, numbers=arguments.numbers)
    split = leave_one_out(described)
    tested = np.flatnonzero(described.histories().lengths() >= 3)
    runs: dict[str, dict[str, list[float]]] = {}
    for seed in arguments.seeds:
        for way, users in (("without", Columns()), ("with", described.users)):
            began = time.perf_counter()
            metrics = runs.setdefault(way, {})
            shown = replace(split.shown, users=users)
            scorer = _fit(
                arguments.recipe, shown, {"validation_targets": str(count_held_out(split)), **values}, seed=seed
            )
            metrics.setdefault("leave one out", []).append(_score(scorer, shown, tested, split.targets))
            for n_shown in arguments.known:
                learnt, new, next_steps = newcomers(replace(described, users=users), n_shown=n_shown, seed=seed)
                scorer = _fit(arguments.recipe, learnt, values, seed=seed)
                metrics.setdefault(f"{n_shown} known", []).append(
                    _score(scorer, learnt, new[next_steps.owners()], next_steps.items)
                )
            metrics.setdefault("seconds", []).append(round(time.perf_counter() - began, 1))
    columns = [*arguments.categories, *arguments.numbers]
    figures = {"data": path.name, "columns": columns, "hyperparameters": values, "runs": runs}
    header = ("users' columns", *runs["with"])
    rows = [(way, *(spread(of_seeds) for of_seeds in metrics.values())) for way, metrics in runs.items()]
    publish(figures, table=markdown_table(header, rows), output=arguments.output)


if __name__ == "__main__":
    main()
