"""What a training takes to read its interactions: `python -m benchmarks.training_load`.

For each number of rows a table is written as imports write it (ids of 11 characters, times, two types of events), and
`trainer.training.loading.load` reads it in a process of its own. Told are seconds, processor seconds, the most memory
that was had at once, beside what the process has before it reads, and the memory of what is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.interactions_table import InteractionsTable
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.planted_interactions import planted_interactions
from benchmarks.report import markdown_table, publish
from common import columns
from common.storage.objects import open_store
from protos.tailorbird.internal.v1.jobs_pb2 import SolutionVersionTrainingPayload
from trainer.training.loading import load
from trainer.training.spec import TrainingSpec

__all__ = ["measure", "write_table"]

_RECIPE: Final = "aws-user-personalization-v2"
#: Rows of one commit.
_AT_ONCE: Final = 1 << 22


def write_table(folder: Path, *, rows: int, users: int, items: int) -> None:
    """Write a table of generated interactions, in commits of `_AT_ONCE` rows."""
    data = planted_interactions(users=users, items=items, interactions=rows).interactions
    table = InteractionsTable(folder)
    for begin in range(0, len(data), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        frame = pl.DataFrame({
            columns.USER_ID: data.user[part],
            columns.ITEM_ID: data.item[part],
            columns.TIMESTAMP: data.timestamp[part],
        })  # fmt: skip
        padded = {name: pl.format("{}-{}", pl.lit(name[:1].lower()), pl.col(name).cast(pl.String).str.zfill(9))
                  for name in (columns.USER_ID, columns.ITEM_ID)}  # fmt: skip
        kinds = pl.when(pl.col(columns.TIMESTAMP) % 3 == 0).then(pl.lit("purchase")).otherwise(pl.lit("view"))
        table.append(frame.with_columns(**padded, **{columns.EVENT_TYPE: kinds}))


def measure(folder: Path) -> dict[str, Any]:
    """Read the table of a folder; to be run in a process of its own, as memory is measured."""
    table = InteractionsTable(folder)
    spec = TrainingSpec(
        store=table.settings.model_dump(),
        tables=(table.version(),),
        payload=SolutionVersionTrainingPayload(recipe=_RECIPE),
        seed=1,
        recall_floor=0.98,
        index_trees=40,
    )
    reset_peak()
    before, began, began_cpu = peak_mib(), time.perf_counter(), time.process_time()
    loaded = load(open_store(table.settings), spec, folder=folder)
    figures = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - began_cpu, 1),
        "before_mib": before,
        "peak_mib": peak_mib(),
    }
    reset_peak()
    interactions = loaded.data.interactions
    kept = sum(
        array.nbytes
        for array in (interactions.user, interactions.item, interactions.timestamp, interactions.event_type)
    )
    check = int(np.bincount(interactions.item).max())
    return {"rows": len(interactions), **figures, "after_mib": peak_mib(), "arrays_mib": kept >> 20, "most_used": check}


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 50_000_000])
    parser.add_argument("--users", type=int, default=1_000_000, help="at most; a fiftieth of the rows if that is fewer")
    parser.add_argument("--items", type=int, default=500_000, help="at most; a hundredth of the rows if that is fewer")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    measured: list[Mapping[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as fresh:
        for rows in arguments.rows:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                users, items = min(arguments.users, rows // 50), min(arguments.items, rows // 100)
                fresh.submit(write_table, folder, rows=rows, users=users, items=items).result()
                measured.append(
                    {"written": rows, "users": users, "items": items, **fresh.submit(measure, folder).result()}
                )
    header = list(measured[0])
    publish(
        {"rows": measured},
        table=markdown_table(header, [list(row.values()) for row in measured]),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
