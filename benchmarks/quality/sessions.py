"""Anonymous sessions, the session-based literature's protocol: `python -m benchmarks.quality.sessions DATA`.

Every prefix of every test session is shown and the next item is the target, ranked among all items of the training
sessions; items of the prefix may come again, as sessions do come back to them. Reported are P@20, the share of targets
in the first 20 places, and MRR@20: Wu et al., "Session-based Recommendation with Graph Neural Networks" (AAAI 2019).

`DATA` is one of these, each file perhaps compressed:

- a folder with `train_sessions.txt`, items of one session a line in the order of the sessions' dates, and
  `test_prefix_target.txt`, `prefix items<TAB>target`: the split of SR-GNN and GCE-GNN;
- a folder with one `*train_full*` and one `*test*`, tables of session, item and time;
- a table of session (or user), item and time; the sessions that begin in the last seventh of the time are tested;
- a file of sequences, `session item item ...`, in the order of their dates; the last seventh is tested.
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

from benchmarks.quality.data import DATA_ROOT, DEMO, Dataset, find_file, index, load, read_text
from benchmarks.quality.sets import find_folder
from benchmarks.report import markdown_table, publish, spread
from common.errors import InvalidInput, invalid
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.data.histories import Histories, History, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import hit_rate
from recipes.evaluation.ranking import CatalogueScores, target_ranks
from recipes.registry import make_fitter, read_config

__all__ = ["Sessions", "metrics", "read", "split_newest"]

_MODEL = "aws-user-personalization-v2"
_POPULARITY = "aws-popularity-count"
_LIMIT = 20
_TESTED = 1 / 7


@dataclass(frozen=True, slots=True)
class Sessions:
    """The protocol's parts.

    Attributes:
        name: For the report.
        training: Sessions to learn from, as users.
        histories: Prefixes of the test sessions.
        targets: int32 [prefixes], the items that follow.
    """

    name: str
    training: TrainingData
    histories: Histories
    targets: ItemIndexes


def read(name: str) -> Sessions:
    """Read sessions in one of the forms above.

    Raises:
        InvalidInput: There is no such file or folder, or its form is unknown.
    """
    try:
        folder = find_folder(name)
    except InvalidInput:
        dataset = load(name)
        timed = dataset.data.interactions.timestamp.any()
        return split_newest(dataset if timed else _index_lines(dataset.name, _sequences(find_file(name))))
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    prefixes = [path for path in files if path.name.startswith("test_prefix_target.txt")]
    lines = [path for path in files if path.name.startswith("train_sessions.txt")]
    if prefixes and lines:
        return _read_prefixes(folder.name, lines[0], prefixes[0])
    tables = [[path for path in files if part in path.name] for part in ("train_full", "test")]
    if [len(paths) for paths in tables] != [1, 1]:
        raise InvalidInput(f"`data`: got {folder}, want test_prefix_target.txt and train_sessions.txt, or two tables")
    return _read_tables(folder.name, *(load(str(paths[0])) for paths in tables))


def split_newest(dataset: Dataset) -> Sessions:
    """Test the sessions that begin in the last seventh of the time."""
    data = dataset.data
    histories = data.histories()
    begins = data.interactions.timestamp[histories.offsets[:-1]]
    border = begins.max() - (begins.max() - begins.min()) * _TESTED
    tested = begins > border
    training = data.where(~tested[data.interactions.user])
    return _prefixes(dataset.name, training, histories.take(np.flatnonzero(tested)))


def metrics(scores: CatalogueScores, split: Sessions) -> dict[str, float]:
    """Rank every target among all items."""
    ranks = target_ranks(scores, n_items=split.training.n_items, histories=split.histories, targets=split.targets)
    reciprocal = np.where(ranks <= _LIMIT, 1.0 / ranks, 0.0)
    return {"precision_at_20": hit_rate(ranks, _LIMIT), "mean_reciprocal_rank_at_20": float(reciprocal.mean())}


def _read_prefixes(name: str, lines: Path, prefixes: Path) -> Sessions:
    sessions = [line.split() for line in read_text(lines).splitlines()]
    dataset = _index_lines(name, sessions)
    number = {item: place for place, item in enumerate(dataset.items)}
    histories, targets = [], []
    for place, line in enumerate(read_text(prefixes).splitlines(), start=1):
        prefix, tab, target = line.partition("\t")
        if not tab:
            raise invalid(f"{prefixes.name}:{place}", got=line, want="items, a tab and a target")
        if target not in number:
            continue
        items = np.array([number.get(item, -1) for item in prefix.split()], np.int32)
        now = np.full(len(items), len(sessions), np.int64)
        histories.append(History(items, np.zeros(len(items), np.uint8), now).in_catalogue(len(number)))
        targets.append(number[target])
    return Sessions(name, dataset.data, Histories.gather(histories), np.array(targets, np.int32))


def _sequences(path: Path) -> list[list[str]]:
    """Read `session item item ...`, lines of one session put together."""
    sessions: dict[str, list[str]] = {}
    for line in read_text(path).splitlines():
        session, *items = line.split()
        sessions.setdefault(session, []).extend(items)
    return list(sessions.values())


def _index_lines(name: str, sessions: Sequence[Sequence[str]]) -> Dataset:
    """Number sessions of which only the order is known: their places stand for their times."""
    places = [place for place, items in enumerate(sessions) for _ in items]
    items = [item for items in sessions for item in items]
    return index(name, users=[str(place) for place in places], items=items, timestamps=np.array(places, np.int64))


def _read_tables(name: str, training: Dataset, tested: Dataset) -> Sessions:
    number = {item: place for place, item in enumerate(training.items)}
    places = np.array([number.get(item, -1) for item in tested.items], np.int32)
    sessions = tested.data.histories()
    moved = Histories(sessions.offsets, places[sessions.items], sessions.event_types, sessions.times)
    return _prefixes(name, training.data, moved.where(moved.items >= 0))


def _prefixes(name: str, training: TrainingData, sessions: Histories) -> Sessions:
    """Ask for every item of the test sessions but the first; items that training does not know are passed over."""
    in_training = np.zeros(training.n_items, bool)
    in_training[training.interactions.item] = True
    sessions = sessions.where(in_training[sessions.items])
    places = np.arange(len(sessions.items)) - np.repeat(sessions.offsets[:-1], sessions.lengths())
    is_target = places > 0
    return Sessions(
        name, training, sessions.before(sessions.owners()[is_target], places[is_target]), sessions.items[is_target]
    )


def main() -> None:
    """Run and print; every seed's figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file or folder, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipe", default=_MODEL)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    split = read(arguments.data)
    runs = {
        _POPULARITY: [_run(_POPULARITY, split, hyperparameters={}, seed=0)],
        "sequence rules": [_run_rules(split)],
        arguments.recipe: [
            _run(arguments.recipe, split, hyperparameters=hyperparameters, seed=seed) for seed in arguments.seeds
        ],
    }
    figures = {
        "data": split.name,
        "sessions": split.training.n_users,
        "items": split.training.n_items,
        "interactions": len(split.training.interactions),
        "tested": len(split.targets),
        "hyperparameters": hyperparameters,
        "seeds": arguments.seeds,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _run(name: str, split: Sessions, *, hyperparameters: Mapping[str, str], seed: int) -> dict[str, float]:
    """Fit a recipe as it is deployed, held-out steps learnt in the end, and measure it."""
    declared = get_recipe(name)
    made = make_fitter(declared, read_config(declared, hyperparameters), seed=seed)
    started = time.perf_counter()
    scorer = made.fit(split.training)
    if made.report:
        scorer = made.extend(split.training)
    seconds = time.perf_counter() - started
    return {**metrics(catalogue_scores(scorer, split.histories), split), "seconds": round(seconds, 1), **made.report}


def _run_rules(split: Sessions) -> dict[str, float]:
    started = time.perf_counter()
    rules = SequentialRulesBaseline.fit(split.training)
    seconds = time.perf_counter() - started
    return {**metrics(rules.scores(split.histories), split), "seconds": round(seconds, 1)}


def _table(figures: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    rows = []
    for name, of_seeds in runs.items():
        shown = [
            spread([100 * run[key] for run in of_seeds], digits=2)
            for key in ("precision_at_20", "mean_reciprocal_rank_at_20")
        ]
        rows.append((name, len(of_seeds), *shown, f"{statistics.mean(run['seconds'] for run in of_seeds):.1f}"))
    about = (
        "{data}: {sessions:,} sessions, {items:,} items, {interactions:,} interactions, {tested:,} prefixes tested\n\n"
    )
    return about.format(**figures) + markdown_table(("model", "seeds", "P@20 %", "MRR@20 %", "seconds"), rows)


if __name__ == "__main__":
    main()
