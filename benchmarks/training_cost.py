"""What a training costs by the size of its catalogue: `python -m benchmarks.training_cost`.

For each size interactions are generated (see `benchmarks.planted_interactions`), the same number of them whatever the
catalogue, and `aws-user-personalization-v2` is fitted, each size in a process of its own with one thread for BLAS, as
the trainer has it. Told are the seconds and processor seconds of every stage, the most memory within it, interactions
per second of the epochs, and recall@25 of the hidden last items of some users: by the model, and by popularity, which
is where a training begins. Of the network alone NDCG@10 and recall@10 of held-out steps are told, after every epoch
and, of more than 5 million interactions, before the first step and within the epoch; written as it goes, with the loss.

A size is ITEMS, or ITEMS:USERS:INTERACTIONS. With `--index` the index is made and measured too, as a training does.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.memory import peak_mib, reset_peak
from benchmarks.planted_interactions import HeldOut, hold_out, planted_interactions
from benchmarks.report import markdown_table, publish
from recipes.catalog import get_recipe
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import target_ranks
from recipes.ports import ItemScorer
from recipes.registry import make_fitter, read_config
from recipes.retrieval.scoring import catalogue_scores
from recipes.training.loop import count_parts
from trainer.training.artifact_writer import write_index
from trainer.training.spec import TrainingOptions

__all__ = ["Size", "StageTimes"]

_RECIPE: Final = "aws-user-personalization-v2"
_BASELINE: Final = "aws-popularity-count"
_LISTED: Final = 25
#: Of the network alone, by the steps that the fit holds out; one step each, so the hit rate is a recall.
_SHOWN: Final = ("epoch", "validation_ndcg_at_10", "network_validation_hit_rate_at_10", "training_loss")
#: Share of an epoch between two lines on the loss.
_LOGGED: Final = 0.05
_GENERATING: Final = "generating the data"
_EPOCH: Final = re.compile(r"^(?:epoch|part of an epoch) \d+ of at most \d+$")


class Size(NamedTuple):
    """How much is generated."""

    items: int
    users: int
    interactions: int


@dataclass
class StageTimes:
    """What stages of a training took: each lasts until the next one is reported.

    Attributes:
        stages: In the order they began in: name, seconds, processor seconds, and the most memory, in MiB.
        metrics: What was reported of the average of the parameters: at the end of each epoch, and within long ones.
    """

    stages: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    _name: str | None = None
    _began: float = 0.0
    _began_cpu: float = 0.0
    _logged: float = 0.0

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report; implements `recipes.ports.FitProgress`."""
        self.begin(stage)
        if "validation_ndcg_at_10" in metrics:
            self.metrics.append({name: round(value, 4) for name, value in metrics.items() if name in _SHOWN})
            sys.stderr.write(f"{fraction:.1%} done: {self.metrics[-1]}\n")
        if "step" in metrics and fraction >= self._logged:
            self._logged = fraction + _LOGGED
            text = "{fraction:.1%}: step {step} of {steps}, loss {training_loss:.4f}, {cpu:.0f} CPU s in all\n"
            sys.stderr.write(text.format(fraction=fraction, cpu=time.process_time(), **metrics))

    def begin(self, name: str | None) -> None:
        """End the stage that goes on, if this is another one, and begin it; None begins none."""
        if name == self._name:
            return
        now, now_cpu = time.perf_counter(), time.process_time()
        if self._name is not None:
            figures = {"seconds": round(now - self._began, 3), "cpu_seconds": round(now_cpu - self._began_cpu, 3)}
            self.stages.append({"stage": self._name, **figures, "peak_mib": peak_mib()})
            # Hours may pass until the table.
            sys.stderr.write(
                "{stage}: {seconds:.1f} s, {cpu_seconds:.1f} CPU s, {peak_mib} MiB\n".format(**self.stages[-1])
            )
        reset_peak()
        self._name, self._began, self._began_cpu = name, now, now_cpu

    def epochs(self, key: str) -> list[float]:
        """Return the seconds of each epoch or part of one, validations left out; key: `seconds` or `cpu_seconds`."""
        sums: dict[str, float] = {}
        for stage in self.stages:
            if _EPOCH.match(stage["stage"]):
                sums[stage["stage"]] = sums.get(stage["stage"], 0.0) + stage[key]
        return [round(total, 3) for total in sums.values()]


def measure(size: Size, *, hyperparameters: Mapping[str, str], tested: int, index: bool, seed: int) -> dict[str, Any]:
    """Generate, fit and measure; to be run in a process of its own, as memory is measured."""
    times = StageTimes()
    times.begin(_GENERATING)
    data = planted_interactions(users=size.users, items=size.items, interactions=size.interactions, seed=seed)
    held_out = hold_out(data, users=tested, seed=seed)
    del data
    popularity = _recall(_fit(_BASELINE, held_out.learnt, {}, seed=seed, times=None), held_out)
    scorer = _fit(_RECIPE, held_out.learnt, hyperparameters, seed=seed, times=times)
    if index:
        times.begin("making the index")
        with tempfile.TemporaryDirectory() as folder:
            learnt = held_out.learnt.histories()
            options = TrainingOptions(seed=seed)
            write_index(scorer, Path(folder), options, held_out=held_out.histories, learnt=learnt)
    times.begin("measuring the recall")
    recall = _recall(scorer, held_out)
    times.begin(None)
    count = len(held_out.learnt.interactions)
    parts = count_parts(count, users=size.users)
    seconds, cpu_seconds = ([parts * value for value in times.epochs(key)] for key in ("seconds", "cpu_seconds"))
    fitting = [stage["peak_mib"] for stage in times.stages if stage["stage"] != _GENERATING]
    return {
        **size._asdict(),
        # The first epoch contains the compilation.
        "epoch_s": min(seconds),
        "epoch_cpu_s": min(cpu_seconds),
        "per_second": round(count / min(seconds)),
        "peak_mib": max(fitting),
        "recall_popularity": round(popularity, 4),
        "recall": round(recall, 4),
        "shown": times.metrics,
        "stages": times.stages,
    }


def _fit(
    name: str, data: TrainingData, hyperparameters: Mapping[str, str], *, seed: int, times: StageTimes | None
) -> ItemScorer:
    recipe = get_recipe(name)
    listener = {} if times is None else {"progress": times}
    return make_fitter(recipe, read_config(recipe, hyperparameters), seed=seed, **listener).fit(data)


def _recall(scorer: ItemScorer, held_out: HeldOut) -> float:
    ranks = target_ranks(
        catalogue_scores(scorer, held_out.histories),
        n_items=held_out.learnt.n_items,
        histories=held_out.histories,
        targets=held_out.targets,
    )
    return float(np.mean(ranks <= _LISTED))


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the sizes, and one of the stages of each."""
    names = (
        "items", "users", "interactions", "epoch_s", "epoch_cpu_s", "per_second", "peak_mib", "recall_popularity",
        "recall",
    )  # fmt: skip
    text = markdown_table(names, [[row[name] for name in names] for row in rows])
    stages = list(dict.fromkeys(stage["stage"] for row in rows for stage in row["stages"]))
    header = ("stage", *(f"{row['items']:,} items: s (CPU s, MiB)" for row in rows))
    lines = [[name, *(_cell(row, name) for row in rows)] for name in stages]
    return text + "\n" + markdown_table(header, lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    stages = [stage for stage in row["stages"] if stage["stage"] == name]
    if not stages:
        return ""
    seconds, cpu = (sum(stage[key] for stage in stages) for key in ("seconds", "cpu_seconds"))
    return f"{seconds:.1f} ({cpu:.1f}, {max(stage['peak_mib'] for stage in stages):,})"


def _size(text: str, *, users: int, interactions: int) -> Size:
    parts = [int(part) for part in text.split(":")]
    if len(parts) not in {1, 3} or min(parts) < 1:
        raise SystemExit(f"`--sizes`: got {text}, want ITEMS or ITEMS:USERS:INTERACTIONS")
    return Size(*parts) if len(parts) == 3 else Size(parts[0], users, interactions)


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["10000", "100000", "1000000"], metavar="SIZE")
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--interactions", type=int, default=5_000_000)
    parser.add_argument("--tested", type=int, default=1000, help="users whose last items are hidden")
    parser.add_argument("--index", action="store_true", help="make and measure the index, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    sizes = [_size(text, users=arguments.users, interactions=arguments.interactions) for text in arguments.sizes]
    hyperparameters = {"epochs": "2", **dict(entry.split("=", 1) for entry in arguments.set)}
    options = {name: getattr(arguments, name) for name in ("tested", "index", "seed")}
    options["hyperparameters"] = hyperparameters
    # A process for each size: what one has taken of memory, and compiled, is no figure of the next.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as fresh:
        rows = [fresh.submit(measure, size, **options).result() for size in sizes]
    publish({"settings": options, "rows": rows}, table=tables(rows), output=arguments.output)


if __name__ == "__main__":
    main()
