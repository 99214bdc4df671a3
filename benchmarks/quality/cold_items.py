"""Items that nobody used yet: `python -m benchmarks.quality.cold_items ml-1m`, or `s3rec-Beauty`.

A tenth of the items is cold: models learn their columns but none of their interactions. On MovieLens 1M these are the
newest by first interaction. Beauty has an order for each user but no common clock, so its cold items are drawn. What a
user did from the first cold item on is hidden; users who did something before are tested. Three things are measured:

- how many of a user's hidden cold items are in the first k places among cold items, and among all items (Recall@k,
  divided by min(k, hidden); the history is left out), and how many of the hidden others, which is what it costs;
- of the 20 warm items that most often share users with a cold item, by cosine in all data, how many are in its list.

The baseline is the nearest neighbour by content: the cosines of the same vectors that recipes make of columns, added up
over a history, and alone for an item.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT, Dataset, load, read_sequences
from benchmarks.quality.sets import HiddenSets, find_folder, ranked_hits, recall_at
from benchmarks.report import markdown_table, publish
from common.errors import invalid
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import FloatArray, Histories, History
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import CatalogueScores, by_vectors
from recipes.models.cooccurrence.gram_matrix import build_gram_matrix, distinct_items
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import ItemScorer
from recipes.registry import make_fitter, read_config
from recipes.retrieval.top_k import top_k

__all__ = ["ColdSplit", "hold_out_items", "measure", "read"]

_CUTS = (10, 20, 50)
_SHARE = 0.1
#: Neighbours of a cold item that are looked for, and users that it must have for that.
_NEIGHBOURS, _USERS = 20, 10
_BASELINE = "aws-popularity-count"
_RECIPES = ("aws-similar-items",)


@dataclass(frozen=True, slots=True)
class ColdSplit:
    """The protocol's parts.

    Attributes:
        training: What is learnt from, with the columns of all items.
        cold: bool [n_items].
        histories: Of the tested users: what is shown.
        hidden_cold: Of the same users: their cold items, at least one each.
        hidden_warm: Of the same users: the others that are hidden and were not shown.
        query_items: int64 [m], cold items with users enough to have neighbours.
        neighbours: int32 [m, 20], the warm neighbours of each.
    """

    training: TrainingData
    cold: NDArray[np.bool_]
    histories: Histories
    hidden_cold: Histories
    hidden_warm: Histories
    query_items: NDArray[np.int64]
    neighbours: NDArray[np.int32]


def read(folder: Path) -> tuple[TrainingData, bool]:
    """Read a data set with the columns of its items, and say whether its times are comparable between users.

    Raises:
        InvalidInput: It is none of the two.
    """
    if (folder / "movies.dat").is_file():
        dataset = load(str(folder / "ratings_reconstructed.csv.gz"))
        return replace(dataset.data, items=_film_columns(folder, dataset)), True
    attributes = folder / f"{folder.name.removeprefix('s3rec-')}_item2attributes.json.gz"
    if attributes.is_file():
        dataset = read_sequences(attributes.with_name(attributes.name.replace("_item2attributes.json", ".txt")))
        attributes_of_items = json.loads(gzip.decompress(attributes.read_bytes()))
        rows = [tuple(str(value) for value in attributes_of_items.get(item, ())) for item in dataset.items]
        return replace(dataset.data, items=Columns({"ATTRIBUTES": CategoricalColumn.of_values(rows)})), False
    raise invalid("data", got=folder.name, want="ml-1m, or a folder of sequences with item2attributes")


def hold_out_items(data: TrainingData, *, timed: bool, seed: int) -> ColdSplit:
    """Divide the data; see the module."""
    rows = data.interactions
    used = np.flatnonzero(np.bincount(rows.item, minlength=data.n_items))
    if timed:
        first = np.full(data.n_items, np.iinfo(np.int64).max)
        np.minimum.at(first, rows.item, rows.timestamp)
        order = used[np.argsort(first[used], kind="stable")]
    else:
        order = np.random.default_rng(seed).permutation(used)
    cold = np.zeros(data.n_items, bool)
    cold[order[len(order) - round(_SHARE * len(order)) :]] = True
    histories = data.histories()
    is_cold = cold[histories.items]
    so_far = np.concatenate([[0], np.cumsum(is_cold)])
    # Everything from the first cold item of a user on.
    hidden = so_far[1:] > np.repeat(so_far[histories.offsets[:-1]], histories.lengths())
    shown = histories.where(~hidden)
    tested = np.flatnonzero((shown.lengths() > 0) & (histories.where(is_cold).lengths() > 0))
    earlier, later = shown.take(tested), histories.where(hidden).take(tested)
    keys, seen = (part.owners() * data.n_items + part.items for part in (later, earlier))
    query_items, neighbours = _nearest_warm_items(data, cold)
    return ColdSplit(
        data.where(~hidden),
        cold=cold,
        histories=earlier,
        hidden_cold=later.where(cold[later.items]),
        hidden_warm=later.where(~cold[later.items] & ~np.isin(keys, seen)),
        query_items=query_items,
        neighbours=neighbours,
    )


def measure(scores: CatalogueScores, split: ColdSplit, *, lists: Sequence[NDArray[np.int32]]) -> dict[str, float]:
    """Answer the three questions for a model.

    Args:
        scores: Of the tested users.
        split: The data.
        lists: The warm neighbours of each query item.
    """
    metrics = {}
    questions = {
        "cold_among_cold": (_only(scores, split.cold), split.hidden_cold),
        "cold_among_all": (scores, split.hidden_cold),
        "warm_among_all": (scores, split.hidden_warm),
    }
    for name, (model_scores, relevant) in questions.items():
        users = np.flatnonzero(relevant.lengths() > 0)
        sets = HiddenSets(split.training, split.histories.take(users), relevant.take(users))
        hits = ranked_hits(_of(model_scores, users), sets, limit=max(_CUTS))
        hidden = np.array([len(np.unique(sets.relevant.of(row).items)) for row in range(len(users))])
        for cut in _CUTS:
            metrics[f"{name}_recall_at_{cut}"] = recall_at(cut, hits, hidden, divisor="reachable")
    shares = [np.isin(named, expected).mean() for named, expected in zip(lists, split.neighbours, strict=True)]
    if shares:
        metrics["neighbours_found"] = float(np.mean(shares))
    return metrics


def run_recipe(name: str, split: ColdSplit, *, columns: bool, hyperparameters: Mapping[str, str]) -> dict[str, float]:
    """Fit a recipe with or without the items' columns, and measure it."""
    declared = get_recipe(name)
    training = split.training if columns else replace(split.training, items=Columns())
    started = time.perf_counter()
    scorer = make_fitter(declared, read_config(declared, hyperparameters), seed=0).fit(training)
    seconds = round(time.perf_counter() - started, 1)
    lists = [_neighbours(scorer, int(item), split.cold) for item in split.query_items]
    return {**measure(catalogue_scores(scorer, split.histories), split, lists=lists), "fit_seconds": seconds}


def run_content(split: ColdSplit) -> dict[str, float]:
    """Measure the nearest neighbours by content."""
    started = time.perf_counter()
    training = split.training
    vectors = learn_vectors(training.items, n_rows=training.n_items, size=100, seed=0)[1]
    seconds = round(time.perf_counter() - started, 1)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    queries = np.zeros((len(split.histories), vectors.shape[1]), np.float32)
    np.add.at(queries, split.histories.owners(), vectors[split.histories.items])
    near: FloatArray = (vectors[split.query_items] @ vectors.T).astype(np.float32)
    near[:, split.cold] = -np.inf
    lists = [top_k(row, _NEIGHBOURS) for row in near]
    return {**measure(by_vectors(vectors, queries), split, lists=lists), "fit_seconds": seconds}


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"ml-1m or s3rec-Beauty, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipes", nargs="+", default=list(_RECIPES))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipes")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    folder = find_folder(arguments.data)
    data, timed = read(folder)
    split = hold_out_items(data, timed=timed, seed=0)
    runs = {
        _BASELINE: run_recipe(_BASELINE, split, columns=False, hyperparameters={}),
        "nearest by content": run_content(split),
    }
    for name in arguments.recipes:
        for columns in (False, True):
            key = name if columns else f"{name} without columns"
            runs[key] = run_recipe(name, split, columns=columns, hyperparameters=hyperparameters)
    figures = {
        "data": folder.name,
        "users": len(split.histories),
        "items": int((~split.cold).sum()),
        "cold_items": int(split.cold.sum()),
        "asked_items": len(split.query_items),
        "interactions": len(split.training.interactions),
        "hyperparameters": hyperparameters,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Mapping[str, float]]) -> str:
    questions = ("cold_among_cold", "cold_among_all", "warm_among_all")
    header = (
        "model",
        *(f"{name.replace('_', ' ')}, R@10 / 20 / 50" for name in questions),
        "neighbours",
        "seconds to fit",
    )
    rows = [
        (
            name,
            *(" / ".join(f"{run[f'{part}_recall_at_{cut}']:.4f}" for cut in _CUTS) for part in questions),
            f"{run['neighbours_found']:.4f}" if "neighbours_found" in run else "none",
            run["fit_seconds"],
        )
        for name, run in runs.items()
    ]
    about = (
        "{data}: {users:,} users tested, {items:,} warm and {cold_items:,} cold items, {asked_items:,} of which have "
        "neighbours, {interactions:,} interactions learnt from\n\n"
    )
    return about.format(**figures) + markdown_table(header, rows)


def _nearest_warm_items(data: TrainingData, cold: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Find the warm items that most often share users with cold ones that have users enough, by cosine."""
    gram = build_gram_matrix(distinct_items(data), n_items=data.n_items)
    items = np.flatnonzero(cold & (gram.diagonal >= _USERS))
    roots: FloatArray = np.sqrt(np.maximum(gram.diagonal, np.float32(1.0)))
    neighbours = np.empty((len(items), _NEIGHBOURS), np.int32)
    for row, item in enumerate(items):
        cosines: FloatArray = _row(gram.off_diagonal, int(item), len(cold)) / roots
        cosines[cold] = -1.0
        neighbours[row] = top_k(cosines, _NEIGHBOURS)
    return items, neighbours


def _row(matrix: SparseRows, row: int, n_items: int) -> FloatArray:
    span = slice(int(matrix.offsets[row]), int(matrix.offsets[row + 1]))
    dense = np.zeros(n_items, np.float32)
    dense[matrix.columns[span]] = matrix.values[span]
    return dense


def _neighbours(scorer: ItemScorer, item: int, cold: NDArray[np.bool_]) -> NDArray[np.int32]:
    """List the warm items that a scorer relates to an item."""
    history = History.of_items([item])
    scores: FloatArray = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    scores[delta.items] += delta.values
    scores[cold] = -np.inf
    return top_k(scores, _NEIGHBOURS)


def _only(scores: CatalogueScores, kept: NDArray[np.bool_]) -> CatalogueScores:
    def masked(rows: slice) -> FloatArray:
        values = scores(rows)
        values[:, ~kept] = -np.inf
        return values

    return masked


def _of(scores: CatalogueScores, users: NDArray[np.int64]) -> CatalogueScores:
    """Return the scores of some users by their places among these; users are ascending."""

    def chosen(rows: slice) -> FloatArray:
        places = users[rows]
        return (
            scores(slice(int(places[0]), int(places[-1]) + 1))[places - places[0]]
            if len(places)
            else scores(slice(0, 0))
        )

    return chosen


def _film_columns(folder: Path, dataset: Dataset) -> Columns:
    """Read titles, genres, years, people and plots of films."""
    films = {
        line.split("::")[0]: line.split("::") for line in (folder / "movies.dat").read_text("latin-1").splitlines()
    }
    text = gzip.decompress((folder / "movies_extrainfos.dat.gz").read_bytes()).decode(errors="replace")
    more = {fields[0]: fields for line in text.splitlines() if len(fields := line.split("::")) == 11}
    listed = {
        "GENRES": [tuple(films[item][2].split("|")) if item in films else () for item in dataset.items],
        **{
            name: [_names(more[item][place]) if item in more else () for item in dataset.items]
            for name, place in (("RATED", 3), ("DIRECTOR", 6), ("ACTORS", 8))
        },
    }
    years = [float(films[item][1][-5:-1]) if item in films else np.nan for item in dataset.items]
    return Columns(
        categorical={name: CategoricalColumn.of_values(rows) for name, rows in listed.items()},
        numeric={"YEAR": np.array(years)},
        textual={"PLOT": tuple(more[item][9] if item in more else None for item in dataset.items)},
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


if __name__ == "__main__":
    main()
