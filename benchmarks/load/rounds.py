"""Servers under load in turns of one run, so that what else the machine does counts for all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load.h2load import LoadResult
from benchmarks.report import percentile
from common.errors import Unavailable

__all__ = ["Shares", "alternate", "refuse_wrong", "shares_of", "summary"]


def alternate(
    sides: Mapping[str, Callable[[slice], LoadResult]], *, rounds: int, users: int
) -> dict[str, list[LoadResult]]:
    """Put all sides under load in turns, each round by other users.

    The users of the first round warm all sides up before: first calls of a process are slower.

    Args:
        sides: By their names what puts each under load by some of its users.
        rounds: Of each side.
        users: Of each round.

    Returns:
        What came of the rounds, by side.
    """
    for press in sides.values():
        press(slice(0, users))
    done: dict[str, list[LoadResult]] = {name: [] for name in sides}
    for begin in range(0, rounds * users, users):
        for name, press in sides.items():
            done[name].append(press(slice(begin, begin + users)))
    return done


def summary(outcomes: Sequence[LoadResult]) -> dict[str, Any]:
    """Return the figures of one side: of rates and processor time the median of its rounds."""
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_ms)
    return {
        "requests": len(latencies),
        "wrong": sum(outcome.wrong for outcome in outcomes),
        "per_second": round(statistics.median(outcome.per_second for outcome in outcomes), 1),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "cpu_micros": round(statistics.median(outcome.cpu_micros for outcome in outcomes), 1),
    }


@dataclass(frozen=True, slots=True)
class Shares:
    """One side beside another.

    Attributes:
        by_round: Its calls per second in relation to the other's, by round.
        by_calls: The median of these.
        by_cpu: The median of the other's processor time per call in relation to its.
    """

    by_round: tuple[float, ...]
    by_calls: float
    by_cpu: float


def shares_of(ours: Sequence[LoadResult], theirs: Sequence[LoadResult]) -> Shares:
    """Compare two sides of as many rounds."""
    pairs = list(zip(ours, theirs, strict=True))
    by_round = tuple(round(mine.per_second / other.per_second, 3) for mine, other in pairs)
    # A round may be too short for the system to count any time of a process.
    by_cpu = statistics.median(other.cpu_micros / max(mine.cpu_micros, 1e-9) for mine, other in pairs)
    return Shares(by_round, round(statistics.median(by_round), 3), round(by_cpu, 3))


def refuse_wrong(outcomes: Mapping[str, Sequence[LoadResult]]) -> None:
    """Check that no call failed: else figures say nothing.

    Raises:
        Unavailable: One did, or was answered otherwise than when it was checked.
    """
    wrong = sum(outcome.wrong for each in outcomes.values() for outcome in each)
    if wrong:
        raise Unavailable(f"calls: got {wrong} that failed or were answered otherwise than when checked, want none")
