"""Operations that are cut off at every point: `python -m benchmarks.faults.crash_points`.

Appending to the event log, flushing it into tables, publishing an artifact, deleting a user, and migrations of the log
and of the metadata store, each killed (SIGKILL, by strace) on entering the N-th system call that writes, syncs or
renames, for every N until it ends by itself. After each kill it is opened again: what was acknowledged is there once,
nothing is half-written, and the operation can be repeated. A point at which this does not hold ends the command with
an error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from benchmarks.faults.crash_campaign import POINTS
from benchmarks.faults.crash_operations import OPERATIONS
from benchmarks.report import markdown_table, publish
from common.errors import InvalidInput, Unavailable

__all__ = ["main", "try_points"]

_RUN_SECONDS = 3600.0


def try_points(operations: Collection[str], *, every: int) -> dict[str, dict[str, int]]:
    """Return how many points of each kind were tried, by operation.

    Args:
        operations: Names from `OPERATIONS`.
        every: Only each so-manieth point.

    Raises:
        InvalidInput: strace is not installed.
        Unavailable: Something acknowledged was lost or doubled, or was left half-written.
    """
    if shutil.which("strace") is None:
        raise InvalidInput("`strace`: got none on PATH, want it: apt-get install strace")
    command = [sys.executable, "-m", "benchmarks.faults.crash_campaign", str(every), *operations]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
    if done.returncode:
        raise Unavailable(f"crash points: got the end {done.returncode}, want 0:\n{done.stderr[-4000:]}")
    points: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return points


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), help="which of them")
    parser.add_argument("--every", type=int, default=1, help="try only each so-manieth point")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    points = try_points(arguments.operations, every=arguments.every)
    table = markdown_table(
        ("operation", *POINTS, "lost, doubled or half-written"),
        [(name, *counts.values(), 0) for name, counts in points.items()],
    )
    publish({"every": arguments.every, "points": points}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
