"""Latency at given shares of what a server can do: `python -m benchmarks.load.open_loop`.

First the capacity is measured in a closed loop: so many calls in progress all the time. Then calls begin at random
times, on average at 30 %, 60 % and 80 % of that rate, as visitors come who know nothing of each other and do not wait
for each other (`benchmarks.load.clients`). What is called is the mix of `benchmarks.load.mix`.

The generator is Python, too, and shares the machine with the servers. It runs as several processes; for each rate the
table shows how late it began its calls, and whether it held the schedule: a p99 of that below five milliseconds, and
all calls begun. Latencies of a schedule that was not held say as much of the generator as of the server. `--echo` shows
what the generator can do.

Beside `--output` are the distributions as HdrHistogram's files (`.hgrm` by percentile, `.hlog` by second) and the
curves as `.svg` and `.png`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.load.clients import ClientLoad, Outcome, press
from benchmarks.load.histograms import milliseconds, plot, write_hgrm, write_hlog
from benchmarks.load.targets import add_target_options, running_target
from benchmarks.report import machine, markdown_table, publish

_CLOSED: Final = "closed loop"
_LATE_MS: Final = 5.0
#: A schedule of chance has a few calls more or less than planned.
_BEGUN_SHARE: Final = 0.95


def loads(target: Path, arguments: argparse.Namespace, *, seed: int, per_second: float = 0.0) -> list[ClientLoad]:
    """Return what each process of the generator does; a closed loop without a rate."""
    each = arguments.clients
    return [
        ClientLoad(
            str(target),
            seconds=arguments.seconds,
            seed=seed * each + number,
            connections=arguments.connections,
            in_progress=-(-arguments.in_progress // each),
            per_second=per_second / each,
        )
        for number in range(each)
    ]


def measure(target: Path, arguments: argparse.Namespace) -> dict[str, Outcome]:
    """Return what was seen in the closed loop, and at each share of the rate that it came to."""
    press(loads(target, arguments, seed=0))  # first calls of a process are slower
    capacity = press(loads(target, arguments, seed=1))
    outcomes = {_CLOSED: capacity}
    for seed, share in enumerate(arguments.shares, start=2):
        rate = share * capacity.per_second
        outcomes[f"{share:.0%}"] = press(loads(target, arguments, seed=seed, per_second=rate))
    return outcomes


def figures_of(outcome: Outcome, *, planned: float | None) -> dict[str, Any]:
    """Return one row of the table; `planned` is the rate of an open loop, in calls each second."""
    begun = outcome.calls + outcome.failures.total()
    late = milliseconds(outcome.lateness, 0.99)
    held = planned is None or (late < _LATE_MS and begun >= _BEGUN_SHARE * planned * outcome.seconds)
    return {
        "calls": outcome.calls,
        "failed": outcome.failures.total(),
        "per_second": round(outcome.per_second, 1),
        "p50_ms": round(milliseconds(outcome.latencies, 0.5), 2),
        "p99_ms": round(milliseconds(outcome.latencies, 0.99), 2),
        "p99.9_ms": round(milliseconds(outcome.latencies, 0.999), 2),
        "begun_late_p99_ms": None if planned is None else round(late, 2),
        "schedule_held": held,
    }


def write_files(outcomes: Mapping[str, Outcome], output: Path) -> None:
    """Write histograms and curves beside the figures."""
    for name, outcome in outcomes.items():
        path = output.with_name(f"{output.stem}-{name.replace(' ', '-').replace('%', '')}")
        write_hgrm(outcome.latencies, path.with_suffix(".hgrm"))
        write_hlog(outcome.intervals, path.with_suffix(".hlog"), started=outcome.started)
    curves = {name: outcome.latencies for name, outcome in outcomes.items() if name != _CLOSED}
    plot(curves, output.with_suffix(""), title=f"Latency in an open loop, by share of capacity\n{machine()}")


def main() -> None:
    """Run and print; figures as JSON with `--output`, and histograms and curves beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_target_options(parser)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.6, 0.8], help="of the capacity")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--clients", type=int, default=2, help="processes of the generator")
    parser.add_argument("--connections", type=int, default=4, help="of each of them to each server")
    parser.add_argument("--in-progress", type=int, default=32, help="calls at a time in the closed loop, of all")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_target(arguments, Path(folder)) as target:
        outcomes = measure(target, arguments)
    capacity = outcomes[_CLOSED].per_second
    planned = {f"{share:.0%}": share * capacity for share in arguments.shares}
    figures = {name: figures_of(outcome, planned=planned.get(name)) for name, outcome in outcomes.items()}
    columns = ("load", "calls", "failed", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "begun late p99 ms", "held")
    table = markdown_table(columns, [(name, *row.values()) for name, row in figures.items()])
    kinds = {name: dict(outcome.kinds) for name, outcome in outcomes.items()}
    failures = {name: dict(outcome.failures) for name, outcome in outcomes.items() if outcome.failures}
    if failures:
        table += f"\nFailed calls: {failures}\n"
    if arguments.output is not None:
        write_files(outcomes, arguments.output)
    settings = {
        name: getattr(arguments, name) for name in ("seconds", "clients", "connections", "in_progress", "workers")
    }
    publish(
        {"settings": settings, "loads": figures, "kinds": kinds, "failures": failures},
        table=table,
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
