"""What all measurements say about themselves: the machine, the date, and where the figures go."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["machine", "markdown_table", "percentile", "publish", "spread"]


def machine() -> str:
    """Describe this machine: processor, number of processors, system, Python."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        named = [line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return f"{model}, {os.cpu_count()} processors, {platform.system()}, Python {platform.python_version()}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; `ordered` ascends."""
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as it can be pasted into README.md."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def spread(values: Sequence[float], *, digits: int = 4) -> str:
    """Show the mean, and the standard deviation between runs where there are several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def publish(figures: Mapping[str, Any], *, table: str, output: Path | None) -> None:
    """Print the table, and write the figures with machine and date as JSON if a file is given."""
    report = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), **figures}
    sys.stdout.write(f"{report['date']}, {report['machine']}\n\n{table}")
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n")
