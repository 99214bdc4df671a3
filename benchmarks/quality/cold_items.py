"""Items that nobody used yet: `python -m benchmarks.quality.cold_items ml-1m`, or `s3rec-Beauty`.

A tenth of the items is cold: models learn their columns but none of their interactions. On MovieLens 1M these are the
newest by first interaction. Beauty has an order for each user but no common clock, so its cold items are drawn. What a
user did from the first cold item on is hidden; users who did something before are tested. What is measured:

- how many of a user's hidden cold items are in the first k places among cold items, and among all items (Recall@k,
  divided by min(k, hidden); the history is left out), and how many of the hidden others, which is what it costs;
- of the 20 warm items that most often share users with a cold item, by cosine in all data, how many are in its list;
  and of the 5 cold items that most often do with a warm one, how many are in the first 20 places among cold items.

The baselines are popularity, chance, and the nearest neighbour by content: the cosines of the same vectors that recipes
make of columns, added up over a history, and alone for an item. `--later` adds what recipes say of the same items where
these come after the training (`benchmarks.quality.later_items`). `--validate` leaves the newest tenth out of everything
and takes the tenth before it: whatever is chosen is chosen by that.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT, Dataset, load, read_sequences
from benchmarks.quality.later_items import fit_before
from benchmarks.quality.sets import HiddenSets, find_folder, ranked_hits, recall_at
from benchmarks.report import markdown_table, publish
from common.errors import invalid
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.gram_matrix import GramMatrix, build_gram_matrix, distinct_items
from recipes.data.histories import FloatArray, Histories, History
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import CatalogueScores, by_vectors
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import ItemScorer
from recipes.registry import make_fitter, read_config
from recipes.retrieval.top_k import top_k

__all__ = ["ColdSplit", "hold_out_items", "measure", "read", "run_chance", "run_content", "run_later", "run_recipe"]

_CUTS = (10, 20, 50)
_SHARE = 0.1
#: Neighbours of a cold item that are looked for, and users that it must have for that.
_NEIGHBOURS, _USERS = 20, 10
#: Cold neighbours of a warm item that are looked for.
_COLD_NEIGHBOURS = 5
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
        warm_queries: int64 [k], warm items with users enough.
        cold_neighbours: int32 [k, 5], the cold neighbours of each, which have users enough.
    """

    training: TrainingData
    cold: NDArray[np.bool_]
    histories: Histories
    hidden_cold: Histories
    hidden_warm: Histories
    query_items: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    warm_queries: NDArray[np.int64]
    cold_neighbours: NDArray[np.int32]


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
    gram = build_gram_matrix(distinct_items(data), n_items=data.n_items)
    is_used = gram.diagonal >= _USERS
    query_items, neighbours = _nearest_items(gram, cold & is_used, ~cold, count=_NEIGHBOURS)
    warm_queries, cold_neighbours = _nearest_items(gram, ~cold & is_used, cold & is_used, count=_COLD_NEIGHBOURS)
    return ColdSplit(
        data.where(~hidden),
        cold=cold,
        histories=earlier,
        hidden_cold=later.where(cold[later.items]),
        hidden_warm=later.where(~cold[later.items] & ~np.isin(keys, seen)),
        query_items=query_items,
        neighbours=neighbours,
        warm_queries=warm_queries,
        cold_neighbours=cold_neighbours,
    )


def measure(scores: CatalogueScores, split: ColdSplit, *, related: Callable[[int], FloatArray]) -> dict[str, float]:
    """Answer the questions for a model.

    Args:
        scores: Of the tested users.
        split: The data.
        related: Scores all items for one that is asked about: float32 [n_items], a new array.
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
    for name, items, expected, kept in (
        ("neighbours_found", split.query_items, split.neighbours, ~split.cold),
        ("cold_neighbours_found", split.warm_queries, split.cold_neighbours, split.cold),
    ):
        if len(items):
            named = [_listed(related(item), kept) for item in items.tolist()]
            metrics[name] = float(
                np.mean([np.isin(row, of_item).mean() for row, of_item in zip(expected, named, strict=True)])
            )
    return metrics


def _listed(scores: FloatArray, kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the first places of a list of some of the items."""
    scores[~kept] = -np.inf
    return top_k(scores, _NEIGHBOURS)


def run_recipe(name: str, split: ColdSplit, *, columns: bool, hyperparameters: Mapping[str, str]) -> dict[str, float]:
    """Fit a recipe with or without the items' columns, and measure it."""
    declared = get_recipe(name)
    training = split.training if columns else replace(split.training, items=Columns())
    started = time.perf_counter()
    scorer = make_fitter(declared, read_config(declared, hyperparameters), seed=0).fit(training)
    seconds = round(time.perf_counter() - started, 1)
    scores = catalogue_scores(scorer, split.histories)
    return {**measure(scores, split, related=partial(_related, scorer)), "fit_seconds": seconds}


def run_later(name: str, split: ColdSplit, *, hyperparameters: Mapping[str, str]) -> dict[str, float]:
    """Fit a recipe to the warm items alone, tell it of the cold ones, and measure it."""
    later = fit_before(name, split.training, split.cold, hyperparameters=hyperparameters)
    return {**measure(later.scores(split.histories), split, related=later.related), "fit_seconds": later.seconds}


def run_chance(split: ColdSplit, *, seed: int) -> dict[str, float]:
    """Measure what is in no order."""
    random, n_items = np.random.default_rng(seed), split.training.n_items

    def scores(rows: slice) -> FloatArray:
        return random.random((rows.stop - rows.start, n_items), np.float32)

    def related(_: int) -> FloatArray:
        return random.random(n_items, np.float32)

    return {**measure(scores, split, related=related), "fit_seconds": 0.0}


def run_content(split: ColdSplit) -> dict[str, float]:
    """Measure the nearest neighbours by content."""
    started = time.perf_counter()
    training = split.training
    vectors = learn_vectors(training.items, n_rows=training.n_items, size=100, seed=0)[1]
    seconds = round(time.perf_counter() - started, 1)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    queries = np.zeros((len(split.histories), vectors.shape[1]), np.float32)
    np.add.at(queries, split.histories.owners(), vectors[split.histories.items])

    def related(item: int) -> FloatArray:
        near: FloatArray = vectors @ vectors[item]
        return near

    return {**measure(by_vectors(vectors, queries), split, related=related), "fit_seconds": seconds}


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"ml-1m or s3rec-Beauty, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipes", nargs="+", default=list(_RECIPES))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipes")
    parser.add_argument("--later", action="store_true", help="also where the items come after the training")
    parser.add_argument("--validate", action="store_true", help="without the newest tenth, on the tenth before it")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    folder = find_folder(arguments.data)
    data, timed = read(folder)
    split = hold_out_items(data, timed=timed, seed=0)
    if arguments.validate:
        split = hold_out_items(split.training, timed=timed, seed=1)
    runs = {
        _BASELINE: run_recipe(_BASELINE, split, columns=False, hyperparameters={}),
        "chance": run_chance(split, seed=0),
        "nearest by content": run_content(split),
    }
    for name in arguments.recipes:
        for columns in (False, True):
            key = name if columns else f"{name} without columns"
            runs[key] = run_recipe(name, split, columns=columns, hyperparameters=hyperparameters)
        if arguments.later:
            runs[f"{name}, items of later"] = run_later(name, split, hyperparameters=hyperparameters)
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
        "warm neighbours",
        "cold neighbours",
        "seconds to fit",
    )
    rows = [
        (
            name,
            *(" / ".join(f"{run[f'{part}_recall_at_{cut}']:.4f}" for cut in _CUTS) for part in questions),
            *(f"{run[part]:.4f}" if part in run else "none" for part in ("neighbours_found", "cold_neighbours_found")),
            run["fit_seconds"],
        )
        for name, run in runs.items()
    ]
    about = (
        "{data}: {users:,} users tested, {items:,} warm and {cold_items:,} cold items, {asked_items:,} of which have "
        "neighbours, {interactions:,} interactions learnt from\n\n"
    )
    return about.format(**figures) + markdown_table(header, rows)


def _nearest_items(
    gram: GramMatrix, queries: NDArray[np.bool_], candidates: NDArray[np.bool_], *, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Find of some items those that most often share users with others, by cosine.

    Args:
        gram: Users that items have in common.
        queries: bool [n_items], the others.
        candidates: bool [n_items].
        count: Items for each; without so many candidates there are no queries.

    Returns:
        The others, and for each the nearest of the candidates.
    """
    roots: FloatArray = np.sqrt(np.maximum(gram.diagonal, np.float32(1.0)))
    items = np.flatnonzero(queries) if candidates.sum() >= count else np.empty(0, np.int64)
    neighbours = np.empty((len(items), count), np.int32)
    for row, item in enumerate(items.tolist()):
        cosines: FloatArray = _row(gram.off_diagonal, item, len(queries)) / roots
        cosines[~candidates] = -1.0
        neighbours[row] = top_k(cosines, count)
    return items, neighbours


def _row(matrix: SparseRows, row: int, n_items: int) -> FloatArray:
    span = slice(int(matrix.offsets[row]), int(matrix.offsets[row + 1]))
    dense = np.zeros(n_items, np.float32)
    dense[matrix.columns[span]] = matrix.values[span]
    return dense


def _related(scorer: ItemScorer, item: int) -> FloatArray:
    """Score all items for one that is asked about."""
    history = History.of_items([item])
    scores: FloatArray = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    scores[delta.items] += delta.values
    return scores


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
