"""How a fit goes from epoch to epoch, by its validation steps alone: `python -m benchmarks.quality.epochs DATA`.

For choices about training, which must not look at a test split. A recipe is fitted for a number of epochs, however
long they bring no gain. Told after each are NDCG@10 and HR@10 of the network alone on the steps that the fit holds out,
its mean loss and the processor seconds until then; and at the end what the best epoch makes of them together with the
counts that it is fused with, and which share of the catalogue its network shows.

`DATA` is what `benchmarks.quality.sessions` reads, with `--sessions`, and otherwise what
`benchmarks.quality.leave_one_out` reads; the hidden steps of both are left out before the fit begins. `--part N` takes
the sessions or users whose number is a multiple of N. Another state of the code is compared by running this there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.quality import leave_one_out, sessions
from benchmarks.quality.data import DATA_ROOT, DEMO, load
from benchmarks.report import markdown_table, publish
from recipes.catalog import get_recipe
from recipes.data.training_data import TrainingData
from recipes.registry import make_fitter, read_config

__all__ = ["EpochFigures", "learnt_data"]

_RECIPE: Final = "aws-user-personalization-v2"
#: Of the network alone, by their names in the table.
_EPOCH: Final = {
    "NDCG@100": "network_validation_ndcg_at_100",
    "NDCG@10": "validation_ndcg_at_10",
    "HR@10": "network_validation_hit_rate_at_10",
    "loss": "training_loss",
    "CPU s": "cpu_seconds",
}
#: Of the best epoch, fused, but for the coverage; an older state of the code may not know them all.
_FIT: Final = (
    "epochs", "validation_ndcg_at_10", "validation_hit_rate_at_10", "network_validation_coverage_at_25",
)  # fmt: skip


@dataclass
class EpochFigures:
    """What the epochs of a fit report; implements `recipes.ports.FitProgress`.

    Attributes:
        epochs: For each epoch, or part of a long one, its metrics, and the processor seconds until its end.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    _began: float = field(default_factory=time.process_time)

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:  # noqa: ARG002 -- FitProgress
        """Take a report."""
        # Long epochs are measured before their first part, too.
        if metrics.keys() >= {"validation_ndcg_at_10", "training_loss"}:
            self.epochs.append({**metrics, "cpu_seconds": time.process_time() - self._began})


def learnt_data(name: str, *, of_sessions: bool, part: int) -> tuple[TrainingData, dict[str, str]]:
    """Read data without what its protocol hides.

    Args:
        name: Of the data.
        of_sessions: Whether they are to be read as sessions.
        part: Of so many users or sessions one is taken.

    Returns:
        What a fit learns from, and the hyperparameters that the protocol sets.
    """
    if of_sessions:
        data, protocol = sessions.read(name).training, {}
    else:
        split = leave_one_out.leave_one_out(load(name).data)
        data, protocol = split.shown, {"validation_targets": str(leave_one_out.count_held_out(split))}
    return data.where(data.interactions.user % part == 0), protocol


def main() -> None:
    """Run and print; everything as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file or folder, perhaps below ${DATA_ROOT}")
    parser.add_argument("--sessions", action="store_true", help="the data are anonymous sessions")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="take one of so many users or sessions")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--recipe", default=_RECIPE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    data, protocol = learnt_data(arguments.data, of_sessions=arguments.sessions, part=arguments.part)
    chosen = dict(entry.split("=", 1) for entry in arguments.set)
    length = {"epochs": str(arguments.epochs), "patience": str(arguments.epochs)}
    declared = get_recipe(arguments.recipe)
    figures = EpochFigures()
    made = make_fitter(
        declared, read_config(declared, protocol | length | chosen), seed=arguments.seed, progress=figures
    )
    made.fit(data)
    facts = {
        "data": arguments.data,
        "part": arguments.part,
        "recipe": arguments.recipe,
        "hyperparameters": chosen,
        "seed": arguments.seed,
        "interactions": len(data.interactions),
        "epochs": figures.epochs,
        "fit": dict(made.report),
    }
    publish(facts, table=_table(facts), output=arguments.output)


def _table(facts: Mapping[str, Any]) -> str:
    rows = [
        (number, *(f"{epoch[key]:.{0 if key == 'cpu_seconds' else 4}f}" for key in _EPOCH.values()))
        for number, epoch in enumerate(facts["epochs"], start=1)
    ]
    fit = [(name, f"{facts['fit'][name]:.4f}") for name in _FIT if name in facts["fit"]]
    about = "{data}, one of {part}: {interactions:,} interactions, {recipe}, seed {seed}, {hyperparameters}\n\n"
    return about.format(**facts) + markdown_table(("epoch", *_EPOCH), rows) + "\n" + markdown_table(("fit", ""), fit)


if __name__ == "__main__":
    main()
