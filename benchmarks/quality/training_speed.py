"""Quality against time, with RecTools' SASRec: `python -m benchmarks.quality.training_speed DATA --rectools PYTHON`.

Both learn the same interactions, on the same processors, one after the other in one run: all but the two newest of
each user. After each epoch both predict the second newest by full ranking, seen items left out. Ours does so anyway,
to know when to stop, and the time that takes is counted; RecTools' is not. At the end both predict the newest.

RecTools runs in an environment of its own, as `pip install "rectools[torch]"` makes it, whose Python is named on the
command line. Its network gets our width, 2 blocks and 100 places, which are its defaults; so are its loss (the full
softmax) and everything else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT, load
from benchmarks.quality.leave_one_out import LeaveOneOut, count_held_out, leave_one_out, metrics
from benchmarks.report import markdown_table, publish
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import hit_rate, ndcg
from recipes.registry import make_fitter, read_config

__all__ = ["Point", "list_ranks", "seconds_to", "write_data"]

_MODEL = "aws-user-personalization-v2"
_OTHER_NAME = "RecTools SASRec"
_OTHER = Path(__file__).with_name("rectools_sasrec.py")
#: Close enough to the final figure to count as arrived.
_ARRIVED = 0.99


class Point(NamedTuple):
    """What an epoch reached: seconds, processor seconds and NDCG@10 of the second newest items."""

    seconds: float
    cpu_seconds: float
    ndcg: float


def list_ranks(lists: NDArray[np.int64], targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the place of each target in its list, from 1; one beyond the end where it is not in it.

    Args:
        lists: int64 [users, listed], best first.
        targets: int [users].
    """
    hit = lists == targets[:, None]
    ranks: NDArray[np.int64] = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, lists.shape[1] + 1)
    return ranks


def seconds_to(points: Sequence[Point], level: float) -> Point | None:
    """Return the first point that reaches an NDCG; None if none does."""
    return next((point for point in points if point.ndcg >= level), None)


def write_data(split: LeaveOneOut, tested: NDArray[np.int64], folder: Path) -> None:
    """Write what the other side reads."""
    for name, data in (("learnt", split.learnt), ("shown", split.shown)):
        np.savetxt(
            folder / f"{name}.csv", _rows(data), fmt="%d", delimiter=",", header="user,item,place", comments=""
        )  # fmt: skip
    np.save(folder / "tested.npy", tested)


def _rows(data: TrainingData) -> NDArray[np.int64]:
    histories = data.histories()
    owners = histories.owners()
    places = np.arange(len(owners)) - histories.offsets[owners]
    return np.stack([owners, histories.items, places], axis=1)


def _run_other(
    python: Path, split: LeaveOneOut, tested: NDArray[np.int64], *, epochs: int, width: int, seed: int
) -> tuple[list[Point], dict[str, float]]:
    newest_learnt = split.shown.histories()
    second = newest_learnt.items[newest_learnt.offsets[tested + 1] - 1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(split, tested, folder)
        command = [
            str(python), str(_OTHER), name, "--epochs", str(epochs), "--width", str(width),
            "--threads", str(len(os.sched_getaffinity(0))), "--seed", str(seed),
        ]  # fmt: skip
        points, best, final = [], -1.0, {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if not line.startswith("{"):
                    continue
                figures = json.loads(line)
                lists = np.load(folder / f"epoch-{figures['epoch']}.npz")
                point = Point(figures["seconds"], figures["cpu_seconds"], ndcg(list_ranks(lists["learnt"], second), 10))
                points.append(point)
                _print_point("RecTools", figures["epoch"], point)
                if point.ndcg > best:
                    ranks = list_ranks(lists["shown"], split.targets)
                    best, final = point.ndcg, {"ndcg_at_10": ndcg(ranks, 10), "hit_rate_at_10": hit_rate(ranks, 10)}
        if child.returncode:
            raise SystemExit(f"RecTools: ended with {child.returncode}")
    return points, final


def _run_ours(split: LeaveOneOut, *, width: int, seed: int) -> tuple[list[Point], dict[str, float]]:
    declared = get_recipe(_MODEL)
    points: list[Point] = []
    began, began_cpu = time.perf_counter(), time.process_time()

    def progress(*, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:  # noqa: ARG001 -- its interface
        gain = metrics.get("validation_ndcg_at_10")
        if gain is not None:
            points.append(Point(time.perf_counter() - began, time.process_time() - began_cpu, gain))
            _print_point("ours", len(points), points[-1])

    values = {"validation_targets": str(count_held_out(split)), "embedding_size": str(width)}
    made = make_fitter(declared, read_config(declared, values), seed=seed, progress=progress)
    scorer = made.fit(split.shown)
    # The blend with rules is learnt after the last epoch.
    blended = made.report["validation_ndcg_at_10"]
    points.append(Point(time.perf_counter() - began, time.process_time() - began_cpu, blended))
    return points, metrics(catalogue_scores(scorer, split.histories), split)


def _print_point(library: str, epoch: int, point: Point) -> None:
    sys.stderr.write(
        f"{library}, epoch {epoch}: {point.ndcg:.4f} after {point.seconds:.0f} s, {point.cpu_seconds:.0f} CPU s\n"
    )


def main() -> None:
    """Run and print; all points as JSON with `--output`, as a picture with `--plot`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"the path of a sequence file, perhaps below ${DATA_ROOT}")
    parser.add_argument("--rectools", type=Path, metavar="PYTHON", help="of RecTools' environment; ours alone without")
    parser.add_argument("--epochs", type=int, default=30, help="of RecTools")
    parser.add_argument("--width", type=int, default=64, help="of both networks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    parser.add_argument("--plot", type=Path, help="file for a picture; wants matplotlib")
    arguments = parser.parse_args()
    dataset = load(arguments.data)
    tested = np.flatnonzero(dataset.data.histories().lengths() >= 3)
    split = leave_one_out(dataset.data)
    runs = {"ours": _run_ours(split, width=arguments.width, seed=arguments.seed)}
    if arguments.rectools is not None:
        runs[_OTHER_NAME] = _run_other(
            arguments.rectools, split, tested, epochs=arguments.epochs, width=arguments.width, seed=arguments.seed
        )
    figures = {"data": dataset.name, "width": arguments.width, "runs": runs}
    publish(figures, table=_table(runs), output=arguments.output)
    if arguments.plot is not None:
        _plot(runs, arguments.plot)


def _table(runs: Mapping[str, tuple[Sequence[Point], Mapping[str, float]]]) -> str:
    others = max(point.ndcg for point in runs[_OTHER_NAME][0]) if _OTHER_NAME in runs else None
    rows = []
    for name, (points, final) in runs.items():
        highest = max(point.ndcg for point in points)
        arrived = seconds_to(points, _ARRIVED * highest)
        level = None if others is None else seconds_to(points, others)
        newest = [f"{final[key]:.4f}" for key in ("ndcg_at_10", "hit_rate_at_10")]
        rows.append((name, len(points), f"{highest:.4f}", _time(arrived), _time(level), *newest))
    header = (
        "model", "points", "best NDCG@10, second newest", "seconds (CPU) to 99 % of its best",
        "seconds (CPU) to RecTools' best", "NDCG@10, newest", "HR@10, newest",
    )  # fmt: skip
    return markdown_table(header, rows)


def _time(point: Point | None) -> str:
    return "never" if point is None else f"{point.seconds:.0f} ({point.cpu_seconds:.0f})"


def _plot(runs: Mapping[str, tuple[Sequence[Point], Any]], path: Path) -> None:
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, (points, _) in runs.items():
        axes.plot([p.cpu_seconds for p in points], [p.ndcg for p in points], marker=".", label=name)
    axes.set(xlabel="processor seconds", ylabel="NDCG@10 of the second newest item", xlim=0)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
