"""Compaction of a table with many small files: seconds and peak memory: `python -m benchmarks.compaction`.

Of generated interactions in files of a thousand rows, as commits of the events service make them. Each way is a process
of its own on a table of its own: storage maintenance, job after job until nothing is left, and Delta Lake's own
`optimize.compact`, which joins all at once. The peak is that of the whole process, Python and its libraries included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl
from deltalake import DeltaTable

from benchmarks.memory import peak_mib
from benchmarks.report import markdown_table, publish
from common import columns
from common.clock import SystemClock
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store
from common.table_files import write_table_file
from common.tables import NO_VERSION, Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.maintenance import MaintenanceJobHandler
from trainer.worker import NullJobContext
from trainer.workspace import Workspace

_LOCATION: Final = "datasets/group/INTERACTIONS"
_COMMIT_FILES: Final = 1000


def _store(root: Path) -> Store:
    return open_store(StoreSettings(store_url=str(root / "store")))


def _write_table(root: Path, files: int, rows: int) -> None:
    """Write a table of many files, which are committed a thousand at a time: that is quick."""
    random, table = np.random.default_rng(1), Table(_store(root), _LOCATION)
    version = NO_VERSION
    for begin in range(0, files, _COMMIT_FILES):
        staged = []
        for number in range(begin, min(begin + _COMMIT_FILES, files)):
            frame = pl.DataFrame(
                {
                    "USER_ID": pl.Series(random.integers(0, 100_000, rows)).cast(pl.String),
                    "ITEM_ID": pl.Series(random.integers(0, 60_000, rows)).cast(pl.String),
                    "TIMESTAMP": np.arange(number * rows, (number + 1) * rows) + 1_700_000_000,
                    "EVENT_TYPE": pl.Series(["watch"]).new_from_index(0, rows),
                    columns.SOURCE: pl.Series([columns.SOURCE_BULK]).new_from_index(0, rows),
                }
            )
            path = root / "part.parquet"
            staged.append(table.stage(write_table_file(frame, path), f"part-{number}.parquet"))
            path.unlink()
        version = table.replace_files(staged, removed=(), after=version, app_id="benchmark", number=begin)


def _maintain(root: Path) -> int:
    """Do maintenance jobs until nothing is left; return how many that took."""
    handler = MaintenanceJobHandler(_store(root), Workspace(root / "work"), SystemClock())
    payload = jobs_pb2.StorageMaintenancePayload(
        table_locations=[_LOCATION], group_folder="datasets/group", retention_hours=168
    )
    jobs = 1
    while handler.run(payload, NullJobContext()).incomplete:
        jobs += 1
    return jobs


def _optimize(root: Path) -> int:
    """Let Delta Lake join all small files at once."""
    table = DeltaTable(f"{_store(root).table_uri}/{_LOCATION}")
    table.optimize.compact(target_size=64 << 20)
    table.create_checkpoint()
    return 1


_WAYS: Final[dict[str, Callable[[Path], int]]] = {"maintenance": _maintain, "optimize": _optimize}


def _measure(way: str, root: Path) -> dict[str, Any]:
    """Join a table's files; return the figures of this process."""
    table = Table(_store(root), _LOCATION)
    started = time.perf_counter()
    jobs = _WAYS[way](root)
    seconds, peak = time.perf_counter() - started, peak_mib()
    return {"way": way, "jobs": jobs, "seconds": seconds, "peak_mib": peak, "files_after": len(table.snapshot().files)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[5000])
    parser.add_argument("--rows", type=int, default=1000, help="rows of a file")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--way", choices=sorted(_WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        sys.stdout.write(json.dumps(_measure(arguments.way, arguments.root)))
        return
    results = []
    for files in arguments.files:
        for way in _WAYS:
            with TemporaryDirectory() as folder:
                _write_table(Path(folder), files, arguments.rows)
                command = [sys.executable, "-m", "benchmarks.compaction", "--way", way, "--root", folder]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            results.append({"files": files, "rows": arguments.rows, **json.loads(run.stdout.splitlines()[-1])})
    rows = [
        [
            f"{item['files']:,} × {item['rows']:,}",
            item["way"],
            item["jobs"],
            f"{item['seconds']:.1f}",
            item["peak_mib"],
            item["files_after"],
        ]
        for item in results
    ]
    table = markdown_table(["files × rows", "way", "jobs", "seconds", "peak MiB", "files after"], rows)
    publish({"compactions": results}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
