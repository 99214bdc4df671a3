"""Memory of imports: a file that is ten times as large takes about as much."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.imports import generate

BUDGET_MIB = 800


def peak_mib(folder, rows: int) -> int:
    """Return the peak memory of a process that imports so many rows."""
    (folder / "rows").mkdir(parents=True)
    generate(folder / "rows" / "data.csv", rows, repeated=0.0)
    command = [sys.executable, "-m", "benchmarks.imports", "--way", "import", "--folder", str(folder)]
    # Each thread of Polars has buffers of its own.
    environ = {**os.environ, "POLARS_MAX_THREADS": "2"}
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environ)
    return json.loads(finished.stdout.splitlines()[-1])["peak_mib"]


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
def test_ten_times_the_rows_take_about_as_much_memory(tmp_path):
    small = peak_mib(tmp_path / "small", 400_000)
    large = peak_mib(tmp_path / "large", 4_000_000)
    assert large < min(BUDGET_MIB, 2.5 * small)
