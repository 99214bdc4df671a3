"""PutEvents and PutItems compared with an echo server of the same stack: `python -m benchmarks.events`.

The events service as it is installed (tokens checked, calls audited, each call synced to the disk before it is
acknowledged, records moved to the datasets meanwhile) and the echo server, which parses the same requests and forgets
them, get the same calls from the same clients in alternating rounds of one run. A call has ten events or ten items; no
two calls of a run are alike. Clients are processes of their own, which share the machine with the servers.

There are two shares. That of calls per second is what clients see. That of processor time per call counts the servers'
processes alone, with what the events service does after the acknowledgement, and depends little on what else the
machine does.

With `--visible` a runtime follows the log, too, and after the rounds the same clients begin calls at half of the rate
that was measured, whatever became of the ones before. Told is the time from the acknowledgement of a call to when the
runtime's workers can read what it put.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.echo import echo_server, list_of_items
from benchmarks.load.h2load import cpu_seconds
from benchmarks.processes import running_both_services
from benchmarks.put_clients import PutLoad, press
from benchmarks.puts import KINDS, RECORDS, Targets, make_targets
from benchmarks.report import markdown_table, percentile, publish
from benchmarks.visible import measure_visible, running_runtime
from common.rpc import channel
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub

_ECHO: Final = "echo"
#: A runtime reads some ten thousand events a second.
_CATCH_UP_SECONDS: Final = 300.0
_OURS: Final = "events service"


@dataclass(frozen=True, slots=True)
class Round:
    """What the calls of one round came to.

    Attributes:
        per_second: Calls acknowledged in a second.
        latencies_ms: Of each call.
        cpu_micros: Processor time of the server's process per call, in microseconds.
    """

    per_second: float
    latencies_ms: Sequence[float]
    cpu_micros: float


@dataclass(frozen=True, slots=True)
class Clients:
    """Who calls.

    Attributes:
        token: Bearer token.
        targets: Where records go.
        processes: Of clients.
        clients: Of all processes together.
        seeds: A new one for each process and round.
    """

    token: str
    targets: Targets
    processes: int
    clients: int
    seeds: Iterator[int]

    def loads(self, address: str, kind: str, *, calls: int, per_second: float = 0.0) -> list[PutLoad]:
        """Return what each process does, so that all together make the calls."""
        each = self.processes
        target = getattr(self.targets, KINDS[kind].target)
        return [
            PutLoad(
                address,
                self.token,
                kind,
                target,
                clients=-(-self.clients // each),
                calls=-(-calls // each),
                seed=next(self.seeds),
                per_second=per_second / each,
            )
            for _ in range(each)
        ]

    def round(self, address: str, kind: str, *, calls: int) -> Round:
        """Let all clients call a server, each again as soon as it has its answer."""
        loads = self.loads(address, kind, calls=calls)
        before = cpu_seconds(address)
        done = list(itertools.chain.from_iterable(press(loads)))
        taken = cpu_seconds(address) - before
        seconds = max(call.ended for call in done) - min(call.begun for call in done)
        latencies = sorted(1000 * (call.ended - call.begun) for call in done)
        return Round(len(done) / seconds, latencies, 1e6 * taken / len(done))


def summary(rounds: Sequence[Round], echo: Sequence[Round]) -> dict[str, float]:
    """Return the figures of one server over all rounds; the shares are medians of the rounds'."""
    latencies = sorted(latency for item in rounds for latency in item.latencies_ms)
    per_second = statistics.median(item.per_second for item in rounds)
    pairs = list(zip(rounds, echo, strict=True))
    return {
        "calls": len(latencies),
        "per_second": round(per_second, 1),
        "records_per_second": round(RECORDS * per_second),
        "share_of_calls": round(statistics.median(mine.per_second / its.per_second for mine, its in pairs), 3),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "cpu_micros": round(statistics.median(item.cpu_micros for item in rounds), 1),
        "share_by_cpu": _median(its.cpu_micros / mine.cpu_micros for mine, its in pairs if mine.cpu_micros),
    }


def _median(values: Iterable[float]) -> float:
    """Return the median; NaN of rounds that were too short for the clock of processor time."""
    listed = list(values)
    return round(statistics.median(listed), 3) if listed else math.nan


def measure(
    arguments: argparse.Namespace, folder: Path
) -> tuple[dict[tuple[str, str], list[Round]], dict[str, dict[str, float]]]:
    """Return all rounds, by call and server; and how soon what was put is visible, by call."""
    rounds: dict[tuple[str, str], list[Round]] = {}
    visible: dict[str, dict[str, float]] = {}
    with (
        running_both_services(folder) as services,
        echo_server(list_of_items(1), processes=1, folder=folder) as echo,
        channel(services.addresses["control_plane"], token=services.token("client")) as opened,
    ):
        targets = make_targets(ControlPlaneServiceStub(opened))
        token, seeds = services.token("client"), itertools.count(1)
        clients = Clients(token, targets, arguments.processes, arguments.clients, seeds)
        addresses = {_OURS: services.addresses["events_service"], _ECHO: echo}
        for number in range(arguments.rounds + 1):
            for kind, (server, address) in itertools.product(arguments.calls_of, addresses.items()):
                outcome = clients.round(address, kind, calls=arguments.calls)
                if number:  # first calls of a process are slower
                    rounds.setdefault((kind, server), []).append(outcome)
        if arguments.visible:
            with running_runtime(services, folder) as history:
                # It has to read first what the rounds have put.
                first = clients.loads(
                    addresses[_OURS], arguments.calls_of[0], calls=arguments.processes, per_second=1.0
                )
                measure_visible(history, targets.group, first, patience_seconds=_CATCH_UP_SECONDS)
                for kind in arguments.calls_of:
                    rate = statistics.median(item.per_second for item in rounds[kind, _OURS]) / 2
                    calls = max(1, round(rate * arguments.seconds))
                    loads = clients.loads(addresses[_OURS], kind, calls=calls, per_second=rate)
                    visible[kind] = measure_visible(history, targets.group, loads)
    return rounds, visible


def report(
    rounds: Mapping[tuple[str, str], Sequence[Round]],
    visible: Mapping[str, Mapping[str, float]],
    *,
    arguments: argparse.Namespace,
) -> None:
    """Print and write the figures."""
    figures = {
        f"{kind}, {server}": summary(of_server, rounds[kind, _ECHO]) for (kind, server), of_server in rounds.items()
    }
    header = ("call, server", "calls", "calls/s", "records/s", "share of echo", "p50 ms", "p99 ms")
    table = markdown_table(
        (*header, "server CPU µs/call", "share by CPU"), [(name, *row.values()) for name, row in figures.items()]
    )
    for kind in arguments.calls_of:
        shares = [
            mine.per_second / its.per_second for mine, its in zip(rounds[kind, _OURS], rounds[kind, _ECHO], strict=True)
        ]
        table += f"\n{kind}, shares of the rounds: {', '.join(f'{share:.3f}' for share in shares)}\n"
    if visible:
        columns = ("call", "calls", "calls/s", "acknowledged p50 ms", "p99 ms", "then visible p50 ms", "p99 ms")
        table += f"\n{markdown_table(columns, [(kind, *row.values()) for kind, row in visible.items()])}"
    settings = {name: getattr(arguments, name) for name in ("rounds", "calls", "clients", "processes", "seconds")}
    publish({"settings": settings, "servers": figures, "visible": visible}, table=table, output=arguments.output)


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per server and call")
    parser.add_argument("--calls", type=int, default=6000, help="calls per round, of all clients together")
    parser.add_argument("--clients", type=int, default=32, help="connections, each with one call at a time")
    parser.add_argument("--processes", type=int, default=2, help="of clients")
    parser.add_argument(
        "--calls-of", nargs="+", choices=tuple(KINDS), default=("PutEvents", "PutItems"), help="what is called"
    )
    parser.add_argument("--visible", action="store_true", help="measure when a runtime has what was acknowledged, too")
    parser.add_argument("--seconds", type=float, default=20.0, help="of that, for each call")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds, visible = measure(arguments, Path(folder))
    report(rounds, visible, arguments=arguments)


if __name__ == "__main__":
    main()
