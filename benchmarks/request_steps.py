"""What each step of a recommendation costs by itself, without gRPC: `python -m benchmarks.request_steps`.

Known users of a drawn model (see `benchmarks.drawn_model`) ask for 25 items, in one process, each another user's.
A few requests go through each stage together, then through the next one, so that the clock is read once for all of
them; a step's figure is the processor time of its thread per request, in the best of several repeats. The whole is
`Pipeline.run`, one request after the other.

Beside the stages there is what comes before them: the look-up of recent events in LMDB, as every call makes it, and
the state of a user who did something after the snapshot, which is made again when there is a newer event. And there is
all of it for one request after the other, from a user's id to ranked ids: the median and the 99th percentile of the
processor time, where every other user did something lately and their states are kept.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.drawn_model import drawn_model
from benchmarks.look_ups import GROUP, recent_events
from benchmarks.report import markdown_table, percentile, publish
from inference.model import Model
from inference.pipelines import Pipeline
from inference.recent_events import RecentHistory
from inference.request import RecommendationRequest
from inference.run import Stage
from recipes.retrieval.scan import ScanIndex, build_scan
from runtime_service.history import HistoryReader

_RESULTS: Final = 25
#: Requests that go through a stage together.
_TOGETHER: Final = 8
#: Catalogues of this size and above are searched by the scan.
_LARGE: Final = 10_000


def stage_micros(pipeline: Pipeline, requests: Sequence[RecommendationRequest], *, repeats: int) -> dict[str, float]:
    """Return microseconds per request of each stage, by its name."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        taken = dict.fromkeys(map(_name, pipeline.stages), 0.0)
        for begin in range(0, len(requests), _TOGETHER):
            runs = [pipeline.begin(request) for request in requests[begin : begin + _TOGETHER]]
            for stage in pipeline.stages:
                started = time.thread_time()
                for run in runs:
                    stage(run)
                taken[_name(stage)] += time.thread_time() - started
        for name, seconds in taken.items():
            best[name] = min(best.get(name, np.inf), 1e6 * seconds / len(requests))
    return best


def _name(stage: Stage) -> str:
    return getattr(stage, "__name__", type(stage).__name__)


def micros(step: Callable[[int], object], *, count: int, repeats: int) -> float:
    """Return microseconds of processor time of a step, called with 0 to `count` - 1, in the best repeat."""
    best = np.inf
    for _ in range(repeats):
        started = time.thread_time()
        for place in range(count):
            step(place)
        best = min(best, 1e6 * (time.thread_time() - started) / count)
    return best


def ranking_micros(pipeline: Pipeline, histories: HistoryReader, ids: Sequence[str], *, repeats: int) -> list[float]:
    """Return microseconds of processor time of each request from a user's id to ranked ids, ascending."""
    taken = []
    for repeat in range(1 + repeats):
        for user_id in ids:
            started = time.thread_time()
            recent = histories.find(GROUP, user_id)
            pipeline.run(RecommendationRequest(_RESULTS, user_id=user_id, recent=recent))
            if repeat:  # the first makes states
                taken.append(1e6 * (time.thread_time() - started))
    return sorted(taken)


def look_ups(model: Model, folder: Path, *, users: int, repeats: int) -> dict[str, float]:
    """Return microseconds of the look-up of recent events, of making a state of them, and of whole requests.

    Args:
        model: What the events are for.
        folder: An empty one, for the histories.
        users: Of whom every other one did something lately.
        repeats: Of which the best counts.
    """
    ids = model.users.ids(range(users))
    with recent_events(model, ids[::2], folder) as reader:
        recent: list[RecentHistory | None] = [reader.find(GROUP, user_id) for user_id in ids[::2]]
        pipeline = Pipeline.make(model, cache_users=0)
        ranked = ranking_micros(Pipeline.make(model, cache_users=users), reader, ids, repeats=repeats)
        return {
            "user's id to ranked ids, p50": percentile(ranked, 0.5),
            "user's id to ranked ids, p99": percentile(ranked, 0.99),
            "look-up of recent events: none": micros(
                lambda place: reader.find(GROUP, ids[place | 1]), count=users - 1, repeats=repeats
            ),
            "look-up of recent events: some": micros(
                lambda place: reader.find(GROUP, ids[2 * place]), count=len(recent), repeats=repeats
            ),
            "state of a user with a newer event": micros(
                lambda place: pipeline.users.user_state(ids[2 * place], recent[place]),
                count=len(recent),
                repeats=repeats,
            ),
        }


def with_scan(model: Model, folder: Path) -> Model:
    """Return the same model, searched by the exact scan."""
    vectors = model.scorer.item_vectors
    build_scan(vectors, folder, user_vectors=model.user_vectors)
    scan = ScanIndex.open(folder, vectors)
    return replace(model, index=scan, scan=scan)


def measure(model: Model, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Return microseconds by step."""
    users = min(arguments.users, len(model.users))
    pipeline, repeats = Pipeline.make(model), arguments.repeats
    requests = [RecommendationRequest(_RESULTS, user_id=user_id) for user_id in model.users.ids(range(users))]
    stages = stage_micros(pipeline, requests, repeats=repeats)
    total = micros(lambda place: pipeline.run(requests[place]), count=users, repeats=repeats)
    return {**stages, "whole": total, **look_ups(model, folder, users=users, repeats=repeats)}


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 60_000], help="sizes of the catalogue")
    parser.add_argument("--users", type=int, default=200, help="users who ask, in turn")
    parser.add_argument("--snapshot-users", type=int, default=3000, help="users of the snapshot")
    parser.add_argument("--events", type=int, default=100, help="interactions of each of them")
    parser.add_argument("--repeats", type=int, default=15, help="repeats, of which the best counts")
    parser.add_argument("--without-regression", action="store_true", help="measure models without one beside them")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    figures = {}
    kinds = (True, False) if arguments.without_regression else (True,)
    for n_items, regression in itertools.product(arguments.items, kinds):
        shape = {"n_items": n_items, "n_users": arguments.snapshot_users, "events": arguments.events}
        model = drawn_model(**shape, regression=regression)
        with tempfile.TemporaryDirectory() as folder:
            (histories := Path(folder) / "histories").mkdir()
            if n_items >= _LARGE:
                model = with_scan(model, Path(folder))
            name = f"{n_items:,} items" + ("" if regression else ", no regression")
            figures[name] = measure(model, histories, arguments)
    rounded = {name: {step: round(taken, 1) for step, taken in row.items()} for name, row in figures.items()}
    names = list(rounded)
    rows = [(step, *(rounded[name][step] for name in names)) for step in rounded[names[0]]]
    table = markdown_table(("step, CPU µs/request", *names), rows)
    settings = {name: getattr(arguments, name) for name in ("users", "snapshot_users", "events", "repeats")}
    publish({"settings": settings, "steps": rounded}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
