"""Where the time of one training goes: `python -m benchmarks.quality.small_data DATA`.

The data are written as an import writes them, and one training reads, fits, measures, extends, indexes and packs them,
as the trainer's process does; it runs in the command's own process, which compiles everything anew. Told are the
seconds and processor seconds of its parts, how many functions were compiled, and how good the fit was on its validation
steps; with `--test` also Personalize's metrics on the hidden users, which nothing may be chosen by.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from jax import monitoring

from benchmarks.interactions_table import InteractionsTable
from benchmarks.quality.data import DATA_ROOT, DEMO, Dataset, load
from benchmarks.report import markdown_table, publish
from common import columns
from common.settings import StoreSettings
from protos.tailorbird.internal.v1.jobs_pb2 import SolutionVersionTrainingPayload
from trainer.training.programs import run_program
from trainer.training.spec import TableVersion, TrainingSpec

__all__ = ["Cost", "Parts"]

_RECIPE: Final = "aws-user-personalization-v2"
#: Which part a stage belongs to, by the first pattern that its name begins with.
_PARTS: Final = (
    ("loading", r"loading"),
    ("counting", r"fitting|choosing the shape|counting what|placing items"),
    ("validation", r"epoch \d+ of at most \d+: validation"),
    ("epochs", r"epoch \d+"),
    ("fusion", r"weighing network"),
    ("final metrics", r"evaluating|comparing"),
    ("extension", r"learning from everybody|extension"),
    ("index", r"indexing"),
    ("export", r"writing the artifact"),
)
_COMPILATION: Final = "compilation"
#: What is known of a fit when it ends.
_QUALITY: Final = ("validation_ndcg_at_10", "validation_hit_rate_at_10", "network_validation_ndcg_at_10", "epochs")


class Cost(NamedTuple):
    """Seconds, and processor seconds of all threads."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @classmethod
    def until_now(cls) -> Cost:
        """Return what has passed since some moment."""
        return cls(time.perf_counter(), time.process_time())

    def plus(self, other: Cost, *, sign: int = 1) -> Cost:
        """Add another cost, or take it off."""
        return Cost(self.seconds + sign * other.seconds, self.cpu_seconds + sign * other.cpu_seconds)


@dataclass
class Parts:
    """What the parts of a training cost; implements `recipes.ports.FitProgress`, and listens to JAX.

    Attributes:
        costs: By part; compilation is taken off the part that it happens in.
        compiled: How often each function was compiled.
        curve: NDCG@10 on validation steps after each epoch, those without a gain included.
        quality: What the fit reports at its end.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    compiled: Counter[str] = field(default_factory=Counter)
    curve: list[float] = field(default_factory=list)
    quality: dict[str, float] = field(default_factory=dict)
    _part: str | None = None
    _since: Cost = field(default_factory=Cost.until_now)
    _compiling: list[Cost] = field(default_factory=list)

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:  # noqa: ARG002 -- FitProgress
        """Take a report: a part lasts until a stage of another one is reported."""
        if stage == "evaluating":
            self.quality = {name: metrics[name] for name in _QUALITY if name in metrics}
        elif stage.startswith("epoch") and "validation_ndcg_at_10" in metrics:
            self.curve.append(metrics["validation_ndcg_at_10"])
        self.begin(next((part for part, pattern in _PARTS if re.match(pattern, stage)), stage))

    def begin(self, part: str | None) -> None:
        """End the part that goes on, and begin another one, or none."""
        now = Cost.until_now()
        if self._part is not None:
            self._add(self._part, now.plus(self._since, sign=-1))
        self._part, self._since = part, now

    def compilation_begins(self, event: str, value: float, **_: Any) -> None:  # noqa: ARG002 -- as JAX calls it
        """Take JAX's word that something is traced, lowered or compiled from now on."""
        if event.startswith("/jax/core/compile/"):
            self._compiling.append(Cost.until_now())

    def compilation_ends(self, event: str, duration_secs: float, **facts: Any) -> None:  # noqa: ARG002 -- as JAX calls it
        """Take JAX's word that it is done; what it does within something else is part of that."""
        if not event.startswith("/jax/core/compile/") or not self._compiling:
            return
        began = self._compiling.pop()
        if event.endswith("backend_compile_duration"):
            self.compiled[str(facts.get("fun_name"))] += 1
        if not self._compiling:
            cost = Cost.until_now().plus(began, sign=-1)
            self._add(_COMPILATION, cost)
            self._since = self._since.plus(cost)

    def _add(self, part: str, cost: Cost) -> None:
        self.costs[part] = self.costs.get(part, Cost()).plus(cost)


def write_table(dataset: Dataset, folder: Path) -> TableVersion:
    """Write the interactions as an import does, and return what a training knows of them."""
    data, interactions = dataset.data, dataset.data.interactions
    kinds = pl.Series([None, *data.event_types], dtype=pl.String)
    frame = pl.DataFrame({
        columns.USER_ID: pl.Series(dataset.users).gather(interactions.user),
        columns.ITEM_ID: pl.Series(dataset.items).gather(interactions.item),
        columns.TIMESTAMP: interactions.timestamp,
        columns.EVENT_TYPE: kinds.gather(interactions.event_type),
    })  # fmt: skip
    table = InteractionsTable(folder)
    table.append(frame)
    return table.version()


def train(table: TableVersion, folder: Path, *, recipe: str, hyperparameters: Mapping[str, str], seed: int) -> Any:
    """Train once, with a new process's imports and compilations to come; returns the parts and the test metrics."""
    payload = SolutionVersionTrainingPayload(recipe=recipe)
    payload.solution_config.algorithm_hyper_parameters.update(hyperparameters)
    spec = TrainingSpec(
        store=StoreSettings(store_url=str(folder)).model_dump(),
        tables=(table,),
        payload=payload,
        seed=seed,
        recall_floor=0.98,
        index_trees=40,
    )
    parts = Parts()
    monitoring.register_scalar_listener(parts.compilation_begins)
    monitoring.register_event_duration_secs_listener(parts.compilation_ends)
    work = folder / "training"
    work.mkdir()
    try:
        manifest = run_program(spec, work, progress=parts)
        parts.begin(None)
    finally:
        monitoring.unregister_scalar_listener(parts.compilation_begins)
        monitoring.unregister_event_duration_listener(parts.compilation_ends)
    return parts, dict(manifest.metrics)


def main() -> None:
    """Run and print; everything as JSON with `--output`."""
    started = time.process_time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipe", default=_RECIPE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--test", action="store_true", help="show Personalize's metrics on hidden users too")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    dataset = load(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        table = write_table(dataset, Path(name))
        parts, metrics = train(
            table, Path(name), recipe=arguments.recipe, hyperparameters=hyperparameters, seed=arguments.seed
        )
    # One thread imports, so that it takes as long as it works; the training's later imports are within its parts.
    costs = {"start and imports": Cost(started, started), **parts.costs}
    figures = {
        "data": dataset.name,
        "interactions": len(dataset.data.interactions),
        "recipe": arguments.recipe,
        "hyperparameters": hyperparameters,
        "seed": arguments.seed,
        "costs": {part: cost._asdict() for part, cost in costs.items()},
        "compiled": dict(parts.compiled),
        "curve": parts.curve,
        "quality": parts.quality | (metrics if arguments.test else {}),
    }
    publish(figures, table=_table(figures, costs), output=arguments.output)


def _table(figures: Mapping[str, Any], costs: Mapping[str, Cost]) -> str:
    rows = [(part, f"{cost.seconds:.1f}", f"{cost.cpu_seconds:.1f}") for part, cost in costs.items()]
    in_all = [sum(values) for values in zip(*costs.values(), strict=True)]
    rows.append(("in all", f"{in_all[0]:.1f}", f"{in_all[1]:.1f}"))
    about = "{data}: {interactions:,} interactions, {recipe}, seed {seed}, {epochs} epochs\n\n".format(
        **figures, epochs=len(figures["curve"])
    )
    quality = markdown_table(("quality", "value"), [(key, f"{value:.4f}") for key, value in figures["quality"].items()])
    compiled = f"\n{sum(figures['compiled'].values())} compilations\n\n"
    return about + markdown_table(("part", "seconds", "CPU s"), rows) + compiled + quality


if __name__ == "__main__":
    main()
