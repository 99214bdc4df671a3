"""Snapshots of features: `python -m benchmarks.features`.

Fills the tables of generated items (ten columns: categories, numbers, texts) and users (two columns), makes a snapshot
of each in a process of its own, and opens it in another. Reports the time and the peak memory of making it, its size,
the time to open it, the memory of the process that has it open, and what a look-up and a filter cost.
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
import psutil

from benchmarks.memory import peak_mib
from benchmarks.report import markdown_table, publish
from common import columns
from common.feature_folders import features_location
from common.features import Features, Put, open_snapshot
from common.features.publishing import publish_snapshot
from common.filters.expression import Operator
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table

_BATCH_ROWS: Final = 500_000
_MIB: Final = 1 << 20
_LOOKUPS: Final = 2000


def _schema(name: str, key: str, **fields: dict[str, Any]) -> str:
    listed = [{"name": key, "type": "string"}, *({"name": name, **field} for name, field in fields.items())]
    return json.dumps({"type": "record", "name": name, "fields": listed})


_CATEGORY: Final = {"type": ["null", "string"], "categorical": True}
_NUMBER: Final = {"type": ["null", "float"]}
_SCHEMAS: Final = {
    "ITEMS": _schema(
        "Items",
        columns.ITEM_ID,
        GENRES=_CATEGORY,
        BRAND=_CATEGORY,
        COLOUR=_CATEGORY,
        SHOP=_CATEGORY,
        PRICE=_NUMBER,
        WEIGHT=_NUMBER,
        YEAR={"type": "int"},
        CREATION_TIMESTAMP={"type": "long"},
        TITLE={"type": ["null", "string"], "textual": True},
        CODE={"type": ["null", "string"]},
    ),
    "USERS": _schema("Users", columns.USER_ID, AGE={"type": ["null", "int"]}, MEMBERSHIP=_CATEGORY),
}
#: A column and a condition of about a tenth of the rows.
_CONDITION: Final = {"ITEMS": ("GENRES", "genre 3"), "USERS": ("MEMBERSHIP", "level 3")}


def _location(kind: str) -> str:
    return f"datasets/benchmark/{kind.lower()}"


def _category(random: np.random.Generator, name: str, count: int, n_values: int) -> pl.Series:
    return pl.Series([f"{name} {number}" for number in range(n_values)]).gather(random.integers(0, n_values, count))


def _rows(kind: str, begin: int, count: int) -> pl.DataFrame:
    random = np.random.default_rng(begin)
    numbers = pl.Series("n", np.arange(begin, begin + count)).cast(pl.String).str.zfill(9)
    internal = {
        columns.SOURCE: pl.repeat(columns.SOURCE_BULK, count, eager=True),
        columns.LOG_OFFSET: pl.repeat(None, count, eager=True, dtype=pl.Int64),
    }
    if kind == "USERS":
        ages = pl.Series(random.integers(18, 90, count), dtype=pl.Int32)
        levels = _category(random, "level", count, 10)
        return pl.DataFrame({columns.USER_ID: "u" + numbers, "AGE": ages, "MEMBERSHIP": levels, **internal})
    genres = [_category(random, "genre", count, 20) for _ in range(2)]
    return pl.DataFrame(
        {
            columns.ITEM_ID: "i" + numbers,
            "GENRES": genres[0] + "|" + genres[1],
            "BRAND": _category(random, "brand", count, 50_000),
            "COLOUR": _category(random, "colour", count, 12),
            "SHOP": _category(random, "shop", count, 1000),
            "PRICE": random.uniform(1, 1000, count).round(2).astype(np.float32),
            "WEIGHT": random.uniform(0, 50, count).astype(np.float32),
            "YEAR": random.integers(1950, 2026, count).astype(np.int32),
            "CREATION_TIMESTAMP": random.integers(1_600_000_000, 1_700_000_000, count),
            "TITLE": "An item that is described in about this many words, number " + numbers,
            "CODE": "code-" + numbers,
            **internal,
        }
    )


def _make(kind: str, folder: Path) -> dict[str, Any]:
    """Make the snapshot."""
    store, work = open_store(StoreSettings(store_url=str(folder / "store"))), folder / "work"
    work.mkdir()
    start, cpu = time.perf_counter(), time.process_time()
    publish_snapshot(
        store, _location(kind), _SCHEMAS[kind], dataset_type=kind,
        version=Table(store, _location(kind)).version(), folder=work, check=lambda: None,
        confirm=lambda: None,
    )  # fmt: skip
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1), "peak_mib": peak_mib()}


def _open(kind: str, folder: Path) -> dict[str, Any]:
    """Open the snapshot as a runtime does, and use it."""
    store = open_store(StoreSettings(store_url=str(folder / "store")))
    location = features_location(_location(kind), Table(store, _location(kind)).version())
    start = time.perf_counter()
    snapshot = open_snapshot(store, location, cache=folder / "cache")
    seconds = time.perf_counter() - start
    memory = psutil.Process().memory_full_info()
    size = sum(file.bytes for file in snapshot.manifest.files)
    name, value = _CONDITION[kind]
    sample = snapshot.ids.ids(np.random.default_rng(1).integers(0, snapshot.n_rows, _LOOKUPS).tolist())

    def look_up() -> None:
        for item in sample:
            row = snapshot.ids.index(item)
            assert row is not None
            snapshot.text(row, name)

    features = Features.of(snapshot, snapshot.schema, offset=0)
    changed = features.with_puts([Put(n + 1, item, {name: value}) for n, item in enumerate(sample)])
    one_more = Put(_LOOKUPS + 1, "new", {name: value})
    return {
        "open_seconds": round(seconds, 2),
        "size_mib": round(size / _MIB),
        # Pages of mapped files are the file cache's: all processes of the host share them.
        "private_mib": round(memory.uss / _MIB),
        "lookup_micros": round(_micros(look_up) / _LOOKUPS, 2),
        "filter_ms": round(_micros(lambda: snapshot.table.columns[name].matching(Operator.EQUAL, value)) / 1e3, 2),
        "filter_puts_ms": round(_micros(lambda: changed.table.columns[name].matching(Operator.EQUAL, value)) / 1e3, 2),
        "put_ms": round(_micros(lambda: changed.with_puts([one_more])) / 1e3, 2),
    }


def _micros(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


def _measure(kind: str, n_rows: int, parent: Path | None) -> dict[str, Any]:
    with TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        table = Table(open_store(StoreSettings(store_url=str(folder / "store"))), _location(kind))
        for begin in range(0, n_rows, _BATCH_ROWS):
            table.append(_rows(kind, begin, min(_BATCH_ROWS, n_rows - begin)))
        figures: dict[str, Any] = {"dataset": kind, "rows": n_rows}
        for step in ("make", "open"):
            command = [sys.executable, "-m", "benchmarks.features", "--step", step, kind, "--folder", name]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures |= json.loads(finished.stdout)
    return figures


def main() -> None:
    """Read the command line, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=5_000_000, help="rows of the items")
    parser.add_argument("--users", type=int, default=50_000_000, help="rows of the users")
    parser.add_argument("--folder", type=Path, help="for all files; by default that for temporary files")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write every figure as JSON")
    options = parser.parse_args()
    if options.step is not None:
        step, kind = options.step
        sys.stdout.write(json.dumps({"make": _make, "open": _open}[step](kind, options.folder)) + "\n")
        return
    measurements = [
        _measure(kind, n_rows, options.folder) for kind, n_rows in (("ITEMS", options.items), ("USERS", options.users))
    ]
    header = list(measurements[0])
    table = markdown_table(header, [[item[name] for name in header] for item in measurements])
    publish({"measurements": measurements}, table=table, output=options.output)


if __name__ == "__main__":
    main()
