"""Visitors by gRPC and by boto3, as Locust makes them: `python -m benchmarks.load.visitors`.

Locust's visitors pause between two calls, so the load follows from their number: a closed loop. What they call is
`benchmarks.load.mix`; who they are is `benchmarks/load/locustfile.py`, which also runs by `locust` alone, with its web
page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.load.targets import add_target_options, running_target
from benchmarks.report import markdown_table, publish
from common.errors import Unavailable

_FILE = Path(__file__).with_name("locustfile.py")


def run_locust(target: Path, *, visitors: int, seconds: int) -> list[dict[str, Any]]:
    """Return Locust's statistics, one entry for each protocol and kind of call.

    Raises:
        Unavailable: Locust did not come to its end, or made no call.
    """
    command = [sys.executable, "-m", "locust", "-f", str(_FILE), "--headless", "--json", "--only-summary"]
    command += [f"--users={visitors}", f"--spawn-rate={visitors}", f"--run-time={seconds}s", "--exit-code-on-error=0"]
    # The file is run by its path, and not as a module.
    environ = {**os.environ, "LOAD_TARGET": str(target), "PYTHONPATH": str(_FILE.parents[2])}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=seconds + 120)
    if done.returncode:
        raise Unavailable(f"locust: ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    if not entries:
        raise Unavailable(f"locust: got no call, want some: {done.stderr.strip()[-500:]}")
    return sorted(entries, key=lambda entry: (entry["method"], entry["name"]))


def percentile_ms(response_times: Mapping[str, int], share: float) -> float:
    """Return the time in milliseconds that a share of the calls did not exceed.

    Args:
        response_times: Numbers of calls by their time.
        share: From 0 to 1.
    """
    enough, seen = share * sum(response_times.values()), 0
    for millis, count in sorted((float(key), count) for key, count in response_times.items()):
        seen += count
        if seen >= enough:
            return millis
    return 0.0


def rows(entries: Sequence[Mapping[str, Any]], *, seconds: float) -> dict[str, dict[str, float]]:
    """Return the figures by protocol and kind."""
    return {
        f"{entry['method']}, {entry['name']}": {
            "calls": entry["num_requests"],
            "failed": entry["num_failures"],
            "per_second": round(entry["num_requests"] / seconds, 1),
            "p50_ms": percentile_ms(entry["response_times"], 0.5),
            "p99_ms": percentile_ms(entry["response_times"], 0.99),
        }
        for entry in entries
    }


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_target_options(parser)
    parser.add_argument("--visitors", type=int, default=100, help="half of them call by gRPC, half by boto3")
    parser.add_argument("--seconds", type=int, default=30, help="how long they stay")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_target(arguments, Path(folder)) as target:
        entries = run_locust(target, visitors=arguments.visitors, seconds=arguments.seconds)
    figures = rows(entries, seconds=arguments.seconds)
    columns = ("visitors call", "calls", "failed", "calls/s", "p50 ms", "p99 ms")
    table = markdown_table(columns, [(name, *row.values()) for name, row in figures.items()])
    settings = {name: getattr(arguments, name) for name in ("visitors", "seconds", "workers")}
    publish({"settings": settings, "calls": figures}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
