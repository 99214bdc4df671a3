"""A runtime by the size of its catalogue: `python -m benchmarks.scale`.

For each size an artifact is planted (see `benchmarks.planted`) and served by a runtime that runs alone (see
`benchmarks.planted_runtime`). Told are the index, the seconds from the start of the process until it says that it
serves, first when every byte is verified and then again; what a worker has for itself and what it shares; and calls per
second and processor time per call beside an echo server with as many processes, both pressed by h2load in alternating
rounds, each round with other users. With `--filters` the same calls are also made with a filter that takes three of ten
genres as parameters and leaves out what the user has watched.

`--artifacts FOLDER` keeps what was planted, as making a million items takes minutes; `--rounds 0` measures memory and
starts alone. Curves over the number of items are drawn beside `--output`, as `.svg`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.curves import Panel, draw_curves
from benchmarks.echo import echo_server
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.load.rounds import alternate, refuse_wrong, shares_of, summary
from benchmarks.planted_runtime import Place, Started, filtered_requests, requests_of, running_runtime
from benchmarks.report import machine, markdown_table, publish
from benchmarks.serving import checked_responses, explored_bytes

_METHOD: Final = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_PLAIN: Final = "GetRecommendations"
_FILTERED: Final = "GetRecommendations, filtered"
_ECHO: Final = "echo"
_START_COLUMNS: Final = ("first_start_s", "later_start_s", "worker_mib", "shared_mib", "proportional_mib")
_LOAD_COLUMNS: Final = ("per_second", "share", "cpu_micros", "share_by_cpu", "p50_ms", "p99_ms", "wrong")
_PANELS: Final = (
    Panel("server CPU µs/call", {"without filters": "cpu_micros", "filtered": "filtered_cpu_micros"}),
    Panel("share of the echo server by CPU", {"without filters": "share_by_cpu", "filtered": "filtered_share_by_cpu"}),
    Panel("MiB of a worker", {"for itself": "worker_mib", "shared": "shared_mib"}),
    Panel("seconds from start to ready", {"first": "first_start_s", "later": "later_start_s"}),
)


def measure(place: Place, *, workers: int, load: Load, arguments: argparse.Namespace) -> dict[str, Any]:
    """Start twice, press, and return what is published."""
    # A folder of its own: what one has verified on this host, others need not verify.
    name = f"runtime-{workers}"
    with running_runtime(place, workers=workers, name=name) as first:
        pass
    with running_runtime(place, workers=workers, name=name) as second:
        pressed = press(place, second, workers=workers, load=load, arguments=arguments) if arguments.rounds else {}
        memory = second.memory()
    starts = {"first_start_s": round(first.seconds, 2), "later_start_s": round(second.seconds, 2)}
    return {"index": place.planted.chosen, **starts, **memory, **pressed}


def press(place: Place, started: Started, *, workers: int, load: Load, arguments: argparse.Namespace) -> dict[str, Any]:
    """Put the runtime and an echo server under load in turns, and return the figures.

    Raises:
        Unavailable: A call failed, or was answered otherwise than when it was checked.
    """
    token = place.settings.token("client")
    requests = {_PLAIN: requests_of(place, arguments.rounds * arguments.users_of_round)}
    if arguments.filters:
        requests[_FILTERED] = filtered_requests(requests[_PLAIN])
    responses = {name: checked_responses(started.address, listed, token=token) for name, listed in requests.items()}
    answer = responses[_PLAIN][0]
    slack = explored_bytes([item.item_id for item in answer.item_list], repeats=load.repeats)
    calls = {
        name: [Call(one, right.ByteSize(), slack) for one, right in zip(listed, responses[name], strict=True)]
        for name, listed in requests.items()
    }
    calls[_ECHO] = [Call(request, answer.ByteSize()) for request in requests[_PLAIN]]
    with echo_server(answer, processes=workers, folder=place.folder) as echo:

        def press_side(name: str, users: slice) -> LoadResult:
            address = echo if name == _ECHO else started.address
            return run_load(address, _METHOD, calls[name][users], load=load, token=token)

        sides = {name: partial(press_side, name) for name in calls}
        done = alternate(sides, rounds=arguments.rounds, users=arguments.users_of_round)
    refuse_wrong(done)
    echoed = summary(done[_ECHO])
    figures = {"echo_per_second": echoed["per_second"], "echo_cpu_micros": echoed["cpu_micros"]}
    for name, prefix in ((_PLAIN, ""), (_FILTERED, "filtered_")):
        if name in done:
            ours, shares = summary(done[name]), shares_of(done[name], done[_ECHO])
            kept = {key: ours[key] for key in ("per_second", "cpu_micros", "p50_ms", "p99_ms", "wrong")}
            kept |= {"share": shares.by_calls, "share_by_cpu": shares.by_cpu}
            figures |= {f"{prefix}{key}": value for key, value in kept.items()}
    return figures


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of starts and memory, and one of calls where there were such."""
    beginning = ("items", "workers", "index", *_START_COLUMNS)
    text = markdown_table(list(beginning), [[row[name] for name in beginning] for row in rows])
    names = {"": _PLAIN, "filtered_": _FILTERED, "echo_": _ECHO}
    pressed = [
        [row["items"], row["workers"], name, *(row.get(f"{prefix}{key}", "") for key in _LOAD_COLUMNS)]
        for row in rows
        for prefix, name in names.items()
        if f"{prefix}per_second" in row
    ]
    if pressed:
        text += "\n" + markdown_table(["items", "workers", "server", *_LOAD_COLUMNS], pressed)
    return text


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1_682, 60_000, 1_000_000])
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=4, help="per server; 0 presses nothing")
    parser.add_argument("--users-of-round", type=int, default=32, help="that ask, other ones in each round")
    parser.add_argument("--repeats", type=int, default=200, help="calls per user and round")
    parser.add_argument("--lanes", type=int, default=8, help="connections at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight per connection")
    parser.add_argument("--filters", action="store_true", help="make the same calls with filters, too")
    parser.add_argument("--artifacts", type=Path, help="folder in which planted artifacts are kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    rows: list[dict[str, Any]] = []
    for n_items in arguments.items:
        with tempfile.TemporaryDirectory() as name:
            place = Place.prepared(
                Path(name),
                artifacts=arguments.artifacts,
                n_items=n_items,
                n_users=arguments.users,
                filters=arguments.filters,
            )
            for workers in arguments.workers:
                measured = measure(place, workers=workers, load=load, arguments=arguments)
                rows.append({"items": n_items, "workers": workers, **measured})
    table = tables(rows)
    if arguments.output is not None:
        most = max(arguments.workers)
        shown = [row for row in rows if row["workers"] == most]
        title = f"A runtime by the size of its catalogue, {most} workers\n{machine()}"
        draw_curves(shown, _PANELS, over="items", path=arguments.output.with_suffix(".svg"), title=title)
    chosen = {
        name: getattr(arguments, name) for name in ("users", "rounds", "users_of_round", "repeats", "lanes", "streams")
    }
    publish({"settings": {**chosen, "processors": os.cpu_count()}, "rows": rows}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
