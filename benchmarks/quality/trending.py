"""Trending items against popular ones on a split by time: `python -m benchmarks.quality.trending DATA [DATA ...]`.

Everything is learnt from the oldest four fifths of the intervals. At each of the others a list of 25 is made of all
items by what happened before it, as a runtime does that sees events; the interval itself then shows what it was worth:

- accuracy: `trend_prediction_accuracy`, the increase of the listed items in it over that of the 25 items that increased
  most, all lists together, 0 where it is negative; increases are counted from the interval before the newest known one;
- from newest: the same, counted from the newest known interval;
- share: the part of its interactions that the listed items got.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import DATA_ROOT, load
from benchmarks.report import markdown_table, publish
from common.errors import invalid
from recipes.catalog import get_recipe
from recipes.data.counts import users_per_item
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.metrics import LIST_LENGTH
from recipes.models.trending.config import FREQUENCIES
from recipes.models.trending.evaluation import Ages, Cut, Ranker, by_trend, cuts, evaluate
from recipes.registry import make_fitter, read_config
from recipes.retrieval.top_k import top_k

__all__ = ["measure", "read"]

_TESTED = 0.2


def read(names: Sequence[str]) -> TrainingData:
    """Read tables and put them together; users of different tables are different.

    Raises:
        InvalidInput: A file is missing, of another form, or without times.
    """
    sets = [load(name) for name in names]
    ids = np.unique(np.concatenate([np.array(part.items) for part in sets]))
    first_user = np.cumsum([0, *(part.data.n_users for part in sets)])
    rows = [part.data.interactions for part in sets]
    times = np.concatenate([part.timestamp for part in rows])
    if not len(times) or np.ptp(times) == 0:
        raise invalid("data", got=", ".join(names), want="interactions with times")
    items = [np.searchsorted(ids, part.items)[part.data.interactions.item] for part in sets]
    users = [part.user + begin for part, begin in zip(rows, first_user[:-1], strict=True)]
    interactions = Interactions.sort(np.concatenate(users), item=np.concatenate(items), timestamp=times)
    return TrainingData(interactions, int(first_user[-1]), len(ids))


def measure(data: TrainingData, *, frequency: str) -> dict[str, Any]:
    """Learn from the older intervals, make lists in the newer ones, and return what they were worth."""
    rows, seconds = data.interactions, FREQUENCIES[frequency]
    ages = Ages(rows.item, rows.timestamp, interval_seconds=seconds, n_items=data.n_items)
    tested = max(1, int(_TESTED * ages.intervals))
    # Intervals are counted back from the newest interaction, so those learnt from end where the tested ones begin.
    learnt = data.where(rows.timestamp.max() - rows.timestamp >= tested * seconds)
    recipe = get_recipe("aws-trending-now")
    config = read_config(recipe, {"trend_discovery_frequency": frequency})
    fitter = make_fitter(recipe, config, seed=0)
    fitter.fit(learnt)
    half_life = fitter.report["half_life"]
    popularity = users_per_item(learnt).astype(np.float32)
    rankers: dict[str, Ranker] = {
        "aws-trending-now": by_trend(half_life),
        "difference of the two counts": by_trend(0.0),
        "newest interval's counts": lambda cut: cut.past[0],
        "aws-popularity-count": lambda _: popularity,
    }
    made = list(cuts(ages, range(tested - 1, -1, -1)))
    accuracies = evaluate(made, rankers)
    return {
        "frequency": frequency,
        "half_life": half_life,
        "lists": len(made),
        "interactions_an_interval": round(float(np.mean([cut.hidden.sum() for cut in made])), 1),
        "runs": {
            name: {"accuracy": accuracies[name].ratio, **_worth(made, ranker)} for name, ranker in rankers.items()
        },
    }


def _worth(made: Sequence[Cut], ranker: Ranker) -> dict[str, float]:
    increase = most = got = happened = 0.0
    for cut in made:
        listed, grown = top_k(ranker(cut), LIST_LENGTH), cut.hidden - cut.past[0]
        increase += float(grown[listed].sum())
        most += float(np.clip(grown[top_k(grown, LIST_LENGTH)], 0, None).sum())
        got += float(cut.hidden[listed].sum())
        happened += float(cut.hidden.sum())
    return {"from_newest": max(0.0, increase / most) if most else 0.0, "share": got / happened}


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help=f"tables with times that belong together, perhaps below ${DATA_ROOT}")
    parser.add_argument("--frequencies", nargs="+", choices=list(FREQUENCIES), default=["2 hours", "1 day"])
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    data = read(arguments.data)
    figures = {
        "data": ", ".join(arguments.data),
        "items": data.n_items,
        "interactions": len(data.interactions),
        "frequencies": [measure(data, frequency=frequency) for frequency in arguments.frequencies],
    }
    publish(figures, table=_table(figures), output=arguments.output)


def _table(figures: Mapping[str, Any]) -> str:
    header = ("frequency", "lists", "half-life", "list", "accuracy", "from newest", "share")
    rows = [
        (
            of_frequency["frequency"],
            of_frequency["lists"],
            f"{of_frequency['half_life']:g}",
            name,
            f"{run['accuracy']:.3f}",
            f"{run['from_newest']:.3f}",
            f"{run['share']:.3f}",
        )
        for of_frequency in figures["frequencies"]
        for name, run in of_frequency["runs"].items()
    ]
    return "{data}: {items:,} items, {interactions:,} interactions\n\n".format(**figures) + markdown_table(header, rows)


if __name__ == "__main__":
    main()
