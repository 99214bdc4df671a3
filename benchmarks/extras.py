"""What a call costs, part by part: `python -m benchmarks.extras`.

Servers that differ in one thing each are pressed by h2load in alternating rounds of one run: the echo server, which is
what gRPC for Python costs; the same answer from this project's server, with its tokens, request ids, limits and log;
then runtimes of one worker each on the same planted artifact (see `benchmarks.planted_runtime`): without a pipeline, so
that requests are read and answers written, with it, and with one after the other of what comes beside an answer: the
offset of the event log that it tells, the ring of answers that explanations are made from, and figures for Prometheus.
What each adds is the median of the differences of processor time per call from the server before, by round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.echo import echo_server
from benchmarks.lesser_runtime import LEFT_OUT
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.load.rounds import alternate, refuse_wrong, summary
from benchmarks.planted_runtime import Place, requests_of, running_runtime
from benchmarks.processes import free_base
from benchmarks.report import markdown_table, publish
from benchmarks.serving import checked_responses, explored_bytes

_METHOD: Final = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_NO_RING: Final = {"TAILORBIRD_RECORDED_ANSWERS_BYTES": "0"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A runtime with some of it.

    Attributes:
        adds: What it does beside what the one before does.
        left_out: What it does not do; see `benchmarks.lesser_runtime`.
        metrics: Whether it counts for Prometheus.
        environ: Its settings.
    """

    adds: str
    left_out: tuple[str, ...] = ()
    metrics: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: _NO_RING)


_ECHO, _GUARDED = "echo: gRPC for Python", "and tokens, request ids, limits, log"
_RUNTIMES: Final = {
    "answers": Variant("and requests, answers, ids of answers", ("offset", "pipeline")),
    "pipeline": Variant("and the pipeline", ("offset",)),
    "offset": Variant("and the offset of the event log"),
    "ring": Variant("and the ring of answers", environ={}),
    "figures": Variant("and figures for Prometheus", metrics=True, environ={}),
}


def _running(stack: ExitStack, place: Place, number: int, variant: Variant) -> str:
    shown = {"TAILORBIRD_METRICS_LISTEN": f"127.0.0.1:{free_base(1)}"} if variant.metrics else {}
    environ = {**variant.environ, **shown, LEFT_OUT: ",".join(variant.left_out)}
    module = "benchmarks.lesser_runtime" if variant.left_out else "runtime_service"
    running = running_runtime(place, workers=1, name=f"runtime-{number}", environ=environ, module=module)
    return stack.enter_context(running).address


def press(
    place: Place, variants: Sequence[Variant], *, load: Load, rounds: int, users: int
) -> dict[str, list[LoadResult]]:
    """Run the servers and put them under load in turns.

    Args:
        place: Where, and what runtimes serve.
        variants: The runtimes beside the echo servers, at least one.
        load: How many calls at a time.
        rounds: Of each server.
        users: Of each round.

    Raises:
        Unavailable: A call failed, or was answered otherwise than when it was checked.
    """
    token, requests = place.settings.token("client"), requests_of(place, rounds * users)
    with ExitStack() as stack:
        addresses = {one.adds: _running(stack, place, number, one) for number, one in enumerate(variants)}
        responses = {name: checked_responses(address, requests, token=token) for name, address in addresses.items()}
        answer = next(iter(responses.values()))[0]
        public_key = Path(place.settings.environ["TAILORBIRD_PUBLIC_KEY_FILE"])
        for name, key in ((_ECHO, None), (_GUARDED, public_key)):
            running = echo_server(answer, processes=1, folder=place.folder, public_key=key)
            addresses[name], responses[name] = stack.enter_context(running), [answer] * len(requests)
        slack = explored_bytes([item.item_id for item in answer.item_list], repeats=load.repeats)

        def press_server(name: str, part: slice) -> LoadResult:
            pairs = zip(requests[part], responses[name][part], strict=True)
            calls = [Call(request, response.ByteSize(), slack) for request, response in pairs]
            return run_load(addresses[name], _METHOD, calls, load=load, token=token)

        servers = _ECHO, _GUARDED, *(variant.adds for variant in variants)
        done = alternate({name: partial(press_server, name) for name in servers}, rounds=rounds, users=users)
    refuse_wrong(done)
    return done


def figures_of(done: Mapping[str, list[LoadResult]]) -> dict[str, dict[str, Any]]:
    """Return the row of each server, in the order in which each has something more than the one before."""
    rows: dict[str, dict[str, Any]] = {}
    before = echo = done[_ECHO]
    for name, outcomes in done.items():
        more = [mine.cpu_micros - less.cpu_micros for mine, less in zip(outcomes, before, strict=True)]
        # A round may be too short for the system to count any time of a process.
        shares = [less.cpu_micros / max(mine.cpu_micros, 1e-9) for mine, less in zip(outcomes, echo, strict=True)]
        rows[name] = {
            **summary(outcomes),
            "more_cpu_micros": round(statistics.median(more), 1),
            "share_of_echo": round(statistics.median(shares), 3),
        }
        before = outcomes
    return rows


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=_RUNTIMES, default=list(_RUNTIMES), help="beside the echo servers")
    parser.add_argument("--items", type=int, default=1_682, help="of the catalogue")
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--rounds", type=int, default=6, help="per server")
    parser.add_argument("--users-of-round", type=int, default=32, help="that ask, other ones in each round")
    parser.add_argument("--repeats", type=int, default=200, help="calls per user and round")
    parser.add_argument("--lanes", type=int, default=8, help="connections at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight per connection")
    parser.add_argument("--artifacts", type=Path, help="folder in which planted artifacts are kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    with tempfile.TemporaryDirectory() as name:
        place = Place.prepared(
            Path(name), artifacts=arguments.artifacts, n_items=arguments.items, n_users=arguments.users, filters=False
        )
        variants = [variant for name, variant in _RUNTIMES.items() if name in arguments.only]
        done = press(place, variants, load=load, rounds=arguments.rounds, users=arguments.users_of_round)
    figures = figures_of(done)
    columns = (
        "server",
        "calls",
        "wrong",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "server CPU µs/call",
        "more CPU µs than the one before",
        "share of the echo server by CPU",
    )
    names = ("items", "users", "rounds", "users_of_round", "repeats", "lanes", "streams")
    publish(
        {"settings": {name: getattr(arguments, name) for name in names}, "servers": figures},
        table=markdown_table(columns, [(name, *row.values()) for name, row in figures.items()]),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
