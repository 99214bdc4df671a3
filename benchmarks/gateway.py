"""The gateway compared with an empty application of the same HTTP stack: `python -m benchmarks.gateway`.

Both are put under load by h2load in alternating rounds of one run: the gateway, which verifies a signature, checks a
body against the service model, calls a service over gRPC and writes its answer as JSON, and a Starlette application
that answers `{}` (`benchmarks.empty_app`), with as many processes on one port. Behind the gateway is the echo server
(`benchmarks.echo`), whose answers are prepared, so that the gateway is what is measured.

There are two ratios. That of calls per second is what a client sees; the load generator and the echo server take their
part of the machine, and the empty application has no server behind it. That of processor time per call counts the
processes of the gateway and of the empty application alone, and depends little on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.echo import echo_server, list_of_items
from benchmarks.empty_app import empty_app
from benchmarks.load.h2load import LoadResult, h2load_path
from benchmarks.load.http1 import HttpCall, run_http_load, sign
from benchmarks.processes import free_base, running_process
from benchmarks.report import markdown_table, percentile, publish
from common.access_keys import AccessKey, AccessKeys
from common.errors import Unavailable

_CAMPAIGN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
_RESULTS: Final = 25
_EMPTY: Final = "empty application"
#: What the system counts processor time in.
_TICK_SECONDS: Final = 0.01


def request_bodies() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return path and body of each operation."""
    event = {
        "eventType": "watch",
        "itemId": "1000",
        "sentAt": datetime.now(UTC).timestamp(),
        "properties": json.dumps({"DEVICE": "television"}),
    }
    tracker = {"trackingId": "0" * 36, "userId": "196", "sessionId": "196-1", "eventList": [event]}
    return {
        "GetRecommendations": (
            "/recommendations",
            {"campaignArn": _CAMPAIGN, "userId": "196", "numResults": _RESULTS},
        ),
        "PutEvents": ("/events", tracker),
    }


@contextmanager
def running_gateway(echo: str, keys: AccessKeys, *, processes: int, folder: Path) -> Iterator[str]:
    """Run a gateway before the echo server, and yield its `host:port`.

    Args:
        echo: Address of the echo server, which stands for all three services.
        keys: Access keys that it accepts.
        processes: That answer.
        folder: For what is written.
    """
    address, log, token = f"127.0.0.1:{free_base(1)}", folder / f"gateway-{processes}.log", folder / "token"
    token.write_text("of no server that checks it")
    given = {
        "LISTEN": address,
        "GATEWAY_WORKERS": str(processes),
        "ACCESS_KEYS_FILE": str(keys.path),
        "TOKEN_FILE": str(token),
        **dict.fromkeys(("CONTROL_PLANE", "EVENTS_SERVICE", "RUNTIME_SERVICE"), echo),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")}
    with running_process(
        [sys.executable, "-m", "gateway"],
        log=log,
        is_ready=lambda: log.read_text().count('"event": "serving"') == processes,
        environ={**kept, **{f"TAILORBIRD_{name}": value for name, value in given.items()}},
    ):
        yield address


def measure(arguments: argparse.Namespace, *, processes: int, folder: Path) -> dict[str, list[LoadResult]]:
    """Return the outcomes of all rounds, by what was called."""
    keys = AccessKeys(folder / f"keys-{processes}.json")
    key = keys.create("benchmark")
    outcomes: dict[str, list[LoadResult]] = {}
    with ExitStack() as running:
        echo = running.enter_context(echo_server(list_of_items(_RESULTS), processes=1, folder=folder))
        gateway = running.enter_context(running_gateway(echo, keys, processes=processes, folder=folder))
        empty = running.enter_context(empty_app(processes=processes, folder=folder))
        for number in range(arguments.rounds + 1):
            for name, call in _calls(gateway, empty, key=key).items():
                outcome = run_http_load(call, connections=arguments.connections, requests=arguments.calls)
                if number:  # first calls of a process are slower
                    outcomes.setdefault(name, []).append(outcome)
    return outcomes


def _calls(gateway: str, empty: str, *, key: AccessKey) -> dict[str, HttpCall]:
    """Return all calls, signed now; the empty application gets the bytes of GetRecommendations."""
    calls = {
        name: sign(f"http://{gateway}{path}", json.dumps(body).encode(), key=key)
        for name, (path, body) in request_bodies().items()
    }
    like = calls["GetRecommendations"]
    return {**calls, _EMPTY: HttpCall(like.url.replace(gateway, empty), like.headers, like.body)}


def summary(outcomes: Sequence[LoadResult], empty: Sequence[LoadResult]) -> dict[str, float]:
    """Return the figures of one call over all rounds; the shares are medians of the rounds'."""
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_ms)
    pairs = list(zip(outcomes, empty, strict=True))
    return {
        "calls": sum(outcome.requests for outcome in outcomes),
        "wrong": sum(outcome.wrong for outcome in outcomes),
        "per_second": round(statistics.median(outcome.per_second for outcome in outcomes), 1),
        "share_of_calls": round(statistics.median(mine.per_second / its.per_second for mine, its in pairs), 3),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "cpu_micros": round(statistics.median(outcome.cpu_micros for outcome in outcomes), 1),
        "share_by_cpu": round(statistics.median(_cpu_micros(its) / _cpu_micros(mine) for mine, its in pairs), 3),
    }


def _cpu_micros(outcome: LoadResult) -> float:
    """Return the processor time per call; of a run that is too short to be measured, that of one tick."""
    return 1e6 * max(outcome.server_cpu_seconds, _TICK_SECONDS) / outcome.requests


def main() -> None:
    """Run and print; figures as JSON with `--output`.

    Raises:
        Unavailable: A call was not answered with 200: then the figures say nothing.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per server and operation")
    parser.add_argument("--calls", type=int, default=10_000, help="calls per round")
    parser.add_argument("--connections", type=int, default=32, help="connections, each with one call at a time")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of the gateway and the empty app")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # a missing tool is told before anything is started
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for processes in arguments.processes:
            outcomes = measure(arguments, processes=processes, folder=Path(folder))
            for name, rounds in outcomes.items():
                figures[f"{name}, {processes} process(es)"] = summary(rounds, outcomes[_EMPTY])
    if wrong := sum(row["wrong"] for row in figures.values()):
        raise Unavailable(f"calls: got {wrong:g} that were not answered with 200, want none")
    header = ("call", "calls", "wrong", "calls/s", "share", "p50 ms", "p99 ms", "server CPU µs/call", "share by CPU")
    settings = {name: getattr(arguments, name) for name in ("rounds", "calls", "connections", "processes")}
    table = markdown_table(header, [(name, *row.values()) for name, row in figures.items()])
    publish({"settings": settings, "servers": figures}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
