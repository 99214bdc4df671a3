"""What it costs to divide work: `python -m benchmarks.compute`.

The same parts by a plain loop of one process, by processes of this machine, and by a Ray cluster of two nodes with one
processor each on this machine. Every process computes with one thread. The ways take turns, as often as `--rounds`
says, so that other work on the machine weighs on all of them: figures are medians, the last column is the median of the
ratios of each round's processor time for all parts to that of the first way.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks.compute_parts import nothing, score
from benchmarks.ray_cluster import ProcessorTime, ray_cluster
from benchmarks.report import markdown_table, publish
from common.compute import Compute
from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute

_WORKERS: Final = 2


class PlainLoop:
    """A `Compute` that does one part after the other, here."""

    def run(
        self, task: Callable[[Any], Any], parts: Sequence[Any], *, check: Callable[[], object]
    ) -> Iterator[tuple[int, Any]]:
        """Do all parts."""
        for place, part in enumerate(parts):
            check()
            yield place, task(part)


class Way(NamedTuple):
    """A way of doing parts.

    Attributes:
        compute: Does them.
        cpu_seconds: Returns what its processes have taken so far.
    """

    compute: Compute
    cpu_seconds: Callable[[], float]


def _here() -> float:
    """Return what this process and its children that have ended have taken so far."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _on_ray() -> Iterator[Way]:
    with ray_cluster(_WORKERS) as cluster, ProcessorTime(cluster.process) as taken:
        yield Way(RayCompute(cluster.address), lambda: _here() + taken.seconds())


_WAYS: Final[Mapping[str, Callable[[], AbstractContextManager[Way]]]] = {
    "loop": lambda: nullcontext(Way(PlainLoop(), _here)),
    "local": lambda: nullcontext(Way(LocalCompute(_WORKERS), _here)),
    "ray": _on_ray,
}


def measure(way: Way, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one way."""
    seconds = partial(_seconds, way.compute)
    scored = [(arguments.items, arguments.users, seed) for seed in range(arguments.parts)]
    empty = [bytes(arguments.bytes)] * arguments.empty_parts
    # The processes of a cluster are kept for the next run of a driver only while they are young: each run pays itself.
    before = way.cpu_seconds()
    all_seconds = seconds(score, scored)
    return {
        "cpu seconds": way.cpu_seconds() - before,
        "seconds": all_seconds,
        "one part": seconds(score, scored[:1]),
        "empty parts": seconds(nothing, empty),
        "one empty part": seconds(nothing, empty[:1]),
    }


def _seconds(compute: Compute, task: Callable[[Any], Any], parts: Sequence[Any]) -> float:
    began = time.perf_counter()
    places = {place for place, _ in compute.run(task, parts, check=lambda: None)}
    assert places == set(range(len(parts)))
    return time.perf_counter() - began


def _row(
    way: str, rounds: Sequence[Mapping[str, Mapping[str, float]]], arguments: argparse.Namespace
) -> tuple[str, ...]:
    """Return the cells of a way: medians of its rounds."""
    item = {name: median(figures[way][name] for figures in rounds) for name in rounds[0][way]}
    taken = [(figures[way]["cpu seconds"], figures[arguments.ways[0]]["cpu seconds"]) for figures in rounds]
    ratios = [here / first for here, first in taken if first > 0.0]  # clocks of processes count hundredths
    return (
        way,
        f"{item['seconds']:.1f}",
        f"{arguments.parts * arguments.users / item['seconds']:,.0f}",
        f"{item['one empty part']:.2f}",
        f"{(item['empty parts'] - item['one empty part']) / max(1, arguments.empty_parts - 1) * 1e3:.2f}",
        f"{item['cpu seconds']:.1f}",
        f"{median(ratios):.2f}" if ratios else "",
    )


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=list(_WAYS), help="what is measured")
    parser.add_argument("--rounds", type=int, default=3, help="in which the ways take turns")
    parser.add_argument("--parts", type=int, default=200, help="that score users")
    parser.add_argument("--users", type=int, default=500, help="of a part")
    parser.add_argument("--items", type=int, default=60_000, help="that each user is scored for")
    parser.add_argument("--empty-parts", type=int, default=2000, help="that cost nothing but their way")
    parser.add_argument("--bytes", type=int, default=100_000, help="of an empty part, and of its result")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        ways = {way: stack.enter_context(_WAYS[way]()) for way in arguments.ways}
        rounds = [{name: measure(way, arguments) for name, way in ways.items()} for _ in range(arguments.rounds)]
    rows = [_row(way, rounds, arguments) for way in arguments.ways]
    header = (
        "way",
        "seconds of all parts",
        "users per second",
        "seconds of a run with one empty part",
        "ms of a part more",
        "processor seconds of all parts",
        f"to {arguments.ways[0]}",
    )
    publish({"rounds": rounds}, table=markdown_table(header, rows), output=arguments.output)


if __name__ == "__main__":
    main()
