"""What a call pays for what comes beside its answer: `python -m benchmarks.extras`.

Runtimes that differ in one thing serve the same planted artifact (see `benchmarks.planted_runtime`) with one worker
each, and are pressed by h2load in alternating rounds of one run: with figures for Prometheus, with the ring of answers
that explanations are made from, with the offset of the event log that answers tell, with all of it and with none. What
each costs is the median of the differences of processor time per call from the runtime that has none, by round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.load.rounds import alternate, refuse_wrong, summary
from benchmarks.planted_runtime import Place, requests_of, running_runtime
from benchmarks.processes import free_base
from benchmarks.report import markdown_table, publish
from benchmarks.serving import checked_responses, explored_bytes

_METHOD: Final = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_NO_RING: Final = {"TAILORBIRD_RECORDED_ANSWERS_BYTES": "0"}
_UNTOLD: Final = "benchmarks.untold_runtime"
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Variant:
    """A runtime with some of it.

    Attributes:
        metrics: Whether it counts for Prometheus.
        environ: Its settings.
        module: What is run.
    """

    metrics: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: _NO_RING)
    module: str = _UNTOLD


_VARIANTS: Final = {
    _NONE: Variant(),
    "figures for Prometheus": Variant(metrics=True),
    "ring of answers": Variant(environ={}),
    "offset of the event log": Variant(module="runtime_service"),
    "all": Variant(metrics=True, environ={}, module="runtime_service"),
}


def press(
    place: Place, variants: Mapping[str, Variant], *, load: Load, rounds: int, users: int
) -> dict[str, list[LoadResult]]:
    """Run the variants and put them under load in turns.

    Raises:
        Unavailable: A call failed, or was answered otherwise than when it was checked.
    """
    token, requests = place.settings.token("client"), requests_of(place, rounds * users)
    addresses = {}
    with ExitStack() as stack:
        for number, (name, variant) in enumerate(variants.items()):
            shown = {"TAILORBIRD_METRICS_LISTEN": f"127.0.0.1:{free_base(1)}"} if variant.metrics else {}
            environ = {**variant.environ, **shown}
            running = running_runtime(
                place, workers=1, name=f"runtime-{number}", environ=environ, module=variant.module
            )
            addresses[name] = stack.enter_context(running).address
        responses = checked_responses(addresses[_NONE], requests, token=token)
        slack = explored_bytes([item.item_id for item in responses[0].item_list], repeats=load.repeats)
        calls = [Call(one, response.ByteSize(), slack) for one, response in zip(requests, responses, strict=True)]

        def press_variant(name: str, part: slice) -> LoadResult:
            return run_load(addresses[name], _METHOD, calls[part], load=load, token=token)

        done = alternate({name: partial(press_variant, name) for name in addresses}, rounds=rounds, users=users)
    refuse_wrong(done)
    return done


def figures_of(done: Mapping[str, list[LoadResult]]) -> dict[str, dict[str, Any]]:
    """Return the row of each variant."""
    rows: dict[str, dict[str, Any]] = {}
    for name, outcomes in done.items():
        more = [mine.cpu_micros - none.cpu_micros for mine, none in zip(outcomes, done[_NONE], strict=True)]
        rows[name] = {**summary(outcomes), "more_cpu_micros": round(statistics.median(more), 1)}
    return rows


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=_VARIANTS, default=list(_VARIANTS), help="beside `none`")
    parser.add_argument("--items", type=int, default=1_682, help="of the catalogue")
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--rounds", type=int, default=6, help="per variant")
    parser.add_argument("--users-of-round", type=int, default=32, help="that ask, other ones in each round")
    parser.add_argument("--repeats", type=int, default=200, help="calls per user and round")
    parser.add_argument("--lanes", type=int, default=8, help="connections at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight per connection")
    parser.add_argument("--artifacts", type=Path, help="folder in which planted artifacts are kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    variants = {name: variant for name, variant in _VARIANTS.items() if name in {_NONE, *arguments.only}}
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    with tempfile.TemporaryDirectory() as name:
        place = Place.prepared(
            Path(name), artifacts=arguments.artifacts, n_items=arguments.items, n_users=arguments.users, filters=False
        )
        done = press(place, variants, load=load, rounds=arguments.rounds, users=arguments.users_of_round)
    figures = figures_of(done)
    columns = (
        "beside the answer",
        "calls",
        "wrong",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "server CPU µs/call",
        "more CPU µs",
    )
    names = ("items", "users", "rounds", "users_of_round", "repeats", "lanes", "streams")
    publish(
        {"settings": {name: getattr(arguments, name) for name in names}, "variants": figures},
        table=markdown_table(columns, [(name, *row.values()) for name, row in figures.items()]),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
