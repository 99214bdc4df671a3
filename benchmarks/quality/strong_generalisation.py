"""Items for users that the model has never seen: `python -m benchmarks.quality.strong_generalisation ml-1m`.

The protocol of Liang et al., "Variational Autoencoders for Collaborative Filtering" (WWW 2018): ratings from 4 on of
users with at least five are kept, a tenth of the users, drawn by NumPy's generator with seed 98765, is tested and
another tenth set aside for choosing; of each tested user a fifth of the items, drawn, is hidden and the rest shown.
Hidden items are ranked among all others. Recall is divided by min(k, hidden items).
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT
from benchmarks.quality.sets import HiddenSets, ease, find_folder, fit_recipe, ndcg_at, ranked_hits, recall_at
from benchmarks.report import markdown_table, publish
from common.errors import InvalidInput, invalid
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.ranking import CatalogueScores

__all__ = ["measure", "read_ratings", "strong_generalisation"]

_LEAST_RATING = 4.0
_LEAST_ITEMS = 5
_SEED = 98765
_SHARE = 0.2
_MODELS = ("aws-popularity-count", "aws-sims", "aws-similar-items")
_EASE_PENALTIES = (200.0, 400.0, 800.0)
_COLUMNS = {"user": ("user_id", "user"), "item": ("movie_id", "item_id", "item"), "rating": ("rating",)}
_COLUMNS |= {"timestamp": ("timestamp", "time")}


def read_ratings(folder: Path) -> pl.DataFrame:
    """Read `ratings*.csv`, perhaps with .gz, of a folder: columns `user`, `item`, `rating`, `timestamp`.

    Raises:
        InvalidInput: There is not just one such file, or it lacks a column.
    """
    files = [path for path in sorted(folder.glob("ratings*")) if path.name.endswith((".csv", ".csv.gz"))]
    if len(files) != 1:
        raise InvalidInput(f"`data`: got {folder} with {len(files)} files ratings*.csv, want a folder with one")
    raw = files[0].read_bytes()
    table = pl.read_csv(io.BytesIO(gzip.decompress(raw) if files[0].suffix == ".gz" else raw))
    chosen = {}
    for column, names in _COLUMNS.items():
        present = [name for name in names if name in table.columns]
        if not present:
            raise invalid(files[0].name, got=f"columns {', '.join(table.columns)}", want=f"one called {names[0]}")
        chosen[column] = pl.col(present[0])
    return table.select(**chosen)


def strong_generalisation(ratings: pl.DataFrame, *, held_out: int, validation: bool = False) -> HiddenSets:
    """Divide the data.

    Args:
        ratings: See `read_ratings`.
        held_out: Users to test, and as many to choose by.
        validation: Test those that are there to choose by.
    """
    kept = ratings.filter(pl.col("rating") >= _LEAST_RATING)
    kept = kept.filter(pl.len().over("user") >= _LEAST_ITEMS).sort("user", "timestamp", maintain_order=True)
    user_ids, user = np.unique(kept["user"].to_numpy(), return_inverse=True)
    order = np.random.RandomState(_SEED).permutation(len(user_ids))
    tested = order[-2 * held_out : -held_out] if validation else order[-held_out:]
    learnt = np.isin(user, order[: -2 * held_out])
    item_ids = np.unique(kept["item"].to_numpy()[learnt])
    is_learnt = np.isin(kept["item"].to_numpy(), item_ids)
    item = np.searchsorted(item_ids, kept["item"].to_numpy())
    times = kept["timestamp"].cast(pl.Int64).to_numpy()

    def rows(mask: NDArray[np.bool_]) -> TrainingData:
        interactions = Interactions.sort(user[mask], item=item[mask], timestamp=times[mask])
        return TrainingData(interactions, len(user_ids), len(item_ids))

    of_tested = rows(np.isin(user, tested) & is_learnt)
    hidden = _draw_hidden(of_tested)
    shown, relevant = of_tested.where(~hidden).histories(), of_tested.where(hidden).histories()
    users = np.flatnonzero(relevant.lengths() > 0)
    return HiddenSets(rows(learnt), shown.take(users), relevant.take(users))


def measure(make: Callable[[], CatalogueScores], split: HiddenSets) -> dict[str, float]:
    """Fit a model, rank, and return its metrics and the seconds of fitting."""
    started = time.perf_counter()
    scores = make()
    fitted = time.perf_counter()
    hits, hidden = ranked_hits(scores, split, limit=100), split.relevant.lengths()
    return {
        "recall_at_20": recall_at(20, hits, hidden, divisor="reachable"),
        "recall_at_50": recall_at(50, hits, hidden, divisor="reachable"),
        "ndcg_at_100": ndcg_at(100, hits, hidden),
        "fit_seconds": round(fitted - started, 1),
    }


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"folder of a ratings*.csv, perhaps below ${DATA_ROOT}")
    parser.add_argument("--held-out", type=int, help="users to test, a tenth of all if left out")
    parser.add_argument("--validation", action="store_true", help="test the users that are there to choose by")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    folder = find_folder(arguments.data)
    ratings = read_ratings(folder)
    held_out = arguments.held_out or _tenth(ratings)
    split = strong_generalisation(ratings, held_out=held_out, validation=arguments.validation)
    models: dict[str, Callable[[], CatalogueScores]] = {
        name: partial(fit_recipe, name, split, hyperparameters={}, seed=0) for name in _MODELS
    }
    models |= {
        f"EASE, penalty {penalty:g}": partial(ease, split.training, split.histories, penalty=penalty)
        for penalty in _EASE_PENALTIES
    }
    runs = {name: measure(make, split) for name, make in models.items()}
    figures = {
        "data": folder.name,
        "users": len(split.relevant),
        "items": split.training.n_items,
        "interactions": len(split.training.interactions),
        "validation": arguments.validation,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Mapping[str, float]]) -> str:
    header = ("model", "R@20", "R@50", "NDCG@100", "seconds to fit")
    keys = ("recall_at_20", "recall_at_50", "ndcg_at_100")
    rows = [(name, *(f"{run[key]:.4f}" for key in keys), run["fit_seconds"]) for name, run in runs.items()]
    about = "{data}: {users:,} users tested, {items:,} items, {interactions:,} interactions learnt from\n\n"
    return about.format(**figures) + markdown_table(header, rows)


def _tenth(ratings: pl.DataFrame) -> int:
    kept = ratings.filter(pl.col("rating") >= _LEAST_RATING).group_by("user").len()
    return max(1, kept.filter(pl.col("len") >= _LEAST_ITEMS).height // 10)


def _draw_hidden(of_tested: TrainingData) -> NDArray[np.bool_]:
    """Draw a fifth of each user's items, of users with enough of them: bool [interactions]."""
    draw = np.random.RandomState(_SEED)
    hidden = np.zeros(len(of_tested.interactions), bool)
    offsets = of_tested.histories().offsets
    for begin, end in itertools.pairwise(offsets):
        if end - begin >= _LEAST_ITEMS:
            hidden[begin + draw.choice(end - begin, int(_SHARE * (end - begin)), replace=False)] = True
    return hidden


if __name__ == "__main__":
    main()
