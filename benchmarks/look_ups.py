"""From a user's history to ranked items, without gRPC, by the size of the catalogue: `python -m benchmarks.look_ups`.

A planted artifact (see `benchmarks.planted`) is opened as a runtime opens it, with the index that its calibration
chose, and asked for 25 items for one user after the other, each another one, in one process. A look-up is what the
runtime does between reading a call and writing its answer: it finds the user's recent events in LMDB, makes the user's
state if there are any, and sends the request through the pipeline. Told are the times of single look-ups by the clock
and of the processor, p50 and p99, and the share of the exact best 25 that was found, both without exploration.

`--artifacts FOLDER` keeps what was planted. Curves over the number of items are drawn beside `--output`, as `.svg`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.curves import Panel, draw_curves
from benchmarks.planted import plant
from benchmarks.report import machine, markdown_table, percentile, publish
from cli.demo.items import EVENT
from common.settings import StoreSettings
from common.storage.objects import open_store
from inference.model import Model, ModelLoader
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from runtime_service.history import HistoryEvent, HistoryReader
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history

__all__ = ["GROUP", "recent_events"]

_RESULTS: Final = 25
GROUP: Final = "arn:aws:personalize:us-east-1:000000000000:dataset-group/planted"
#: Later than what any snapshot contains.
_LATER_MILLIS: Final = 10**13
_SNAPSHOT: Final = "user of the snapshot"
_NEWER: Final = "user with a newer event"
_SEARCH: Final = "search of the index alone"
_COLUMNS: Final = ("p50_micros", "p99_micros", "cpu_p50_micros", "cpu_p99_micros", "recall_at_25")
_PANELS: Final = (
    Panel("p50 of a look-up, µs", {_SNAPSHOT: f"{_SNAPSHOT} p50_micros", _SEARCH: f"{_SEARCH} p50_micros"}),
    Panel("p99 of a look-up, µs", {_SNAPSHOT: f"{_SNAPSHOT} p99_micros", _SEARCH: f"{_SEARCH} p99_micros"}),
)


@contextmanager
def recent_events(model: Model, users: Sequence[str], folder: Path) -> Iterator[HistoryReader]:
    """Yield the reader of histories in which some users have done something with an item each, after the snapshot.

    Args:
        model: Whose items these are.
        users: Who did something.
        folder: Existing, empty.
    """
    prepare_history(folder, map_bytes=1 << 26)
    writer = LmdbHistoryWriter(folder, max_events=100)
    events = [
        HistoryEvent(
            1 + place, GROUP, "", user, model.item_ids[place % len(model.item_ids)], EVENT, str(place), _LATER_MILLIS
        )
        for place, user in enumerate(users)
    ]
    writer.append(events, next_offset=1 + len(events))
    writer.close()  # LMDB opens a folder once in a process
    reader = LmdbHistoryReader(folder)
    try:
        yield reader
    finally:
        reader.close()


def timed(call: Callable[[str], object], users: Sequence[str]) -> dict[str, float]:
    """Return microseconds of single calls, one for each user, by the clock and of the processor."""
    clock, processor = list[float](), list[float]()
    for user in users:
        began, taken = time.perf_counter(), time.thread_time()
        call(user)
        processor.append(1e6 * (time.thread_time() - taken))
        clock.append(1e6 * (time.perf_counter() - began))
    clock.sort()
    processor.sort()
    return {
        f"{prefix}p{round(100 * share)}_micros": round(percentile(values, share), 1)
        for prefix, values in (("", clock), ("cpu_", processor))
        for share in (0.5, 0.99)
    }


def recall(model: Model, users: Sequence[str]) -> float:
    """Return the share of the exact best 25 that the model's index finds, of some users."""
    unexplored = replace(model, ages=None)
    indexed, exact = Pipeline.make(unexplored), Pipeline.make(replace(unexplored, index=None, scan=None))
    shares = []
    for user in users:
        right, answered = (
            pipeline.run(RecommendationRequest(_RESULTS, user_id=user)).items for pipeline in (exact, indexed)
        )
        shares.append(float(np.isin(right, answered).mean()))
    return float(np.mean(shares))


def measure(model: Model, users: Sequence[str], folder: Path, *, exact_users: int) -> dict[str, dict[str, float]]:
    """Return the figures of each kind of look-up.

    Args:
        model: What answers.
        users: Of the snapshot; every other one did something later.
        folder: Existing, empty.
        exact_users: So many are compared with what scoring everything finds.
    """
    at_rest, active = users[::2], users[1::2]
    pipeline = Pipeline.make(model)
    with recent_events(model, active, folder) as reader:

        def look_up(user: str) -> None:
            recent = reader.find(GROUP, user)
            pipeline.run(RecommendationRequest(_RESULTS, user_id=user, recent=recent))

        for user in users[: min(100, len(users))]:  # pages of mapped files, compiled loops
            look_up(user)
        figures = {
            _SNAPSHOT: {**timed(look_up, at_rest), "recall_at_25": round(recall(model, users[:exact_users]), 4)},
            _NEWER: timed(look_up, active),
        }
    index = model.index
    if index is not None:
        row_of = {user: model.users.index(user) for user in at_rest}
        figures[_SEARCH] = timed(lambda user: index.nearest(model.user_vectors[row_of[user]], 100), at_rest)
    return figures


def draw(figures: Mapping[int, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw the curves over the number of items."""
    rows: list[dict[str, Any]] = [
        {"items": n_items, **{f"{kind} {name}": value for kind, row in kinds.items() for name, value in row.items()}}
        for n_items, kinds in figures.items()
    ]
    draw_curves(rows, _PANELS, over="items", path=path, title=f"Look-ups by the size of the catalogue\n{machine()}")


def main() -> None:
    """Run and print; figures as JSON with `--output`, and curves beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1_682, 60_000, 1_000_000], help="of each catalogue")
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--look-ups", type=int, default=2_000, help="of users, each another one; 2,000 at most")
    parser.add_argument("--exact-users", type=int, default=200, help="compared with what scoring everything finds")
    parser.add_argument("--artifacts", type=Path, help="folder in which planted artifacts are kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    figures, chosen = dict[int, dict[str, dict[str, float]]](), dict[int, str]()
    for n_items in arguments.items:
        with tempfile.TemporaryDirectory() as name:
            folder, histories = Path(name), Path(name) / "histories"
            histories.mkdir()
            url = str(folder / "store" if arguments.artifacts is None else arguments.artifacts)
            store = open_store(StoreSettings(store_url=url))
            planted = plant(store, n_items=n_items, n_users=arguments.users)
            model = ModelLoader(store, cache=folder / "cache", index="auto").load(planted.location)
            users = planted.users[: arguments.look_ups]
            figures[n_items] = measure(model, users, histories, exact_users=arguments.exact_users)
            chosen[n_items] = planted.chosen
    rows = [
        (n_items, chosen[n_items], kind, *(row.get(name, "") for name in _COLUMNS))
        for n_items, kinds in figures.items()
        for kind, row in kinds.items()
    ]
    if arguments.output is not None:
        draw(figures, arguments.output.with_suffix(".svg"))
    settings = {name: getattr(arguments, name) for name in ("users", "look_ups", "exact_users")}
    publish(
        {"settings": settings, "indexes": chosen, "look_ups": figures},
        table=markdown_table(("items", "index", "look-up", *_COLUMNS), rows),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
