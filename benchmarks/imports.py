"""Imports beside the plain way with Polars: `python -m benchmarks.imports`.

Generates interactions as CSV and brings them into a Delta table twice, each in a process of its own: by the handler of
import jobs (checked row by row, freed of duplicates, in one commit), and by `polars.read_csv` and `write_delta`, which
hold everything in memory and check nothing. Reports wall time, processor time and peak memory of both, the ratios, and
which share of the import's processor time goes into reading, checking and writing rows, file by file: what is left,
finding duplicates among all rows and the commit, is done once for all files.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.memory import peak_mib
from benchmarks.report import markdown_table, publish
from common.files.outputs import Outputs
from common.recommendation_ids import RecommendationIds
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.files.sources import Sources
from trainer.imports import ImportJobHandler
from trainer.worker import NO_DETAILS, NullJobContext
from trainer.workspace import Workspace

__all__ = ["generate"]

_BATCH_ROWS: Final = 1_000_000
_N_ITEMS: Final = 100_000
_EVENTS_OF_USER: Final = 50
_EVENT_TYPES: Final = ("view", "click", "cart", "purchase")
_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Interactions",
        "namespace": "com.amazonaws.personalize.schema",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
            {"name": "EVENT_TYPE", "type": "string"},
            {"name": "EVENT_VALUE", "type": ["null", "float"]},
        ],
        "version": "1.0",
    }
)
_MIB: Final = 1 << 20
_WAYS: Final = ("plain", "import")


def generate(path: Path, n_rows: int, *, repeated: float) -> None:
    """Write interactions as CSV.

    Args:
        path: The file.
        n_rows: How many.
        repeated: Share of the rows that are there twice; they follow in each million rows after the others.
    """
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(b"USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n")
        for start in range(0, n_rows, _BATCH_ROWS):
            count = min(_BATCH_ROWS, n_rows - start)
            values = random.uniform(0, 5, count).round(1).astype(np.float32)
            rows = pl.DataFrame(
                {
                    "user": random.integers(0, max(1, n_rows // _EVENTS_OF_USER), count),
                    "item": random.integers(0, _N_ITEMS, count),
                    "time": random.integers(1_600_000_000, 1_700_000_000, count),
                    "type": np.array(_EVENT_TYPES)[random.integers(0, len(_EVENT_TYPES), count)],
                    "value": pl.Series(values).set(pl.Series(values < 1), None),
                }
            )
            n_repeated = int(repeated * count)
            rows = pl.concat([rows.head(count - n_repeated), rows.head(n_repeated)])
            rows.select(
                pl.format("u{}", pl.col("user").cast(pl.String).str.zfill(8)).alias("user"),
                pl.format("i{}", pl.col("item").cast(pl.String).str.zfill(6)).alias("item"),
                "time",
                "type",
                "value",
            ).write_csv(file, include_header=False)


class _Stages(NullJobContext):
    """Adds up the processor time of what a job says it does.

    Attributes:
        cpu_seconds: By activity.
    """

    def __init__(self) -> None:
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)
        self._activity, self._since = "", time.process_time()

    def report(self, *, fraction: float, activity: str, details: Mapping[str, float] = NO_DETAILS) -> None:  # noqa: ARG002 - the port's signature
        """Begin with another activity."""
        now = time.process_time()
        self.cpu_seconds[self._activity] += now - self._since
        self._activity, self._since = activity, now


def _plain(folder: Path) -> dict[str, float]:
    pl.read_csv(folder / "rows" / "data.csv").write_delta(str(folder / "plain"))
    return {}


def _import(folder: Path) -> dict[str, float]:
    settings = StoreSettings(store_url=str(folder / "store"))
    store = open_store(settings)
    handler = ImportJobHandler(
        store,
        Sources(settings, buckets=folder, roots=(folder,)),
        Workspace(folder / "work"),
        outputs=Outputs(settings, buckets=folder, roots=()),
        ids=RecommendationIds(None),
    )
    table = jobs_pb2.DatasetTable(dataset_type="INTERACTIONS", location="datasets/benchmark", schema=_SCHEMA)
    payload = jobs_pb2.DatasetImportPayload(
        table=table, data_location="s3://rows/data.csv", replace=True, import_id="benchmark"
    )
    stages = _Stages()
    handler.run(payload, stages)
    stages.report(fraction=1.0, activity="")
    read = stages.cpu_seconds["reading files"]
    return {"reading_share": round(read / sum(stages.cpu_seconds.values()), 3)}


def _run_way(way: str, folder: Path) -> None:
    """Do the work of a process under measurement, and print its figures."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    further = {"plain": _plain, "import": _import}[way](folder)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2), "peak_mib": peak_mib(), **further}
    sys.stdout.write(json.dumps(figures) + "\n")


def _measure(n_rows: int, *, repeated: float, parent: Path | None) -> dict[str, Any]:
    """Measure both ways, one after the other, on the same file."""
    with TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        generate(folder / "rows" / "data.csv", n_rows, repeated=repeated)
        figures: dict[str, Any] = {"rows": n_rows, "csv_mib": round((folder / "rows/data.csv").stat().st_size / _MIB)}
        for way in _WAYS:
            command = [sys.executable, "-m", "benchmarks.imports", "--way", way, "--folder", name]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            # The handler logs before it.
            figures[way] = json.loads(finished.stdout.splitlines()[-1])
    figures["ratio"] = round(figures["import"]["seconds"] / figures["plain"]["seconds"], 2)
    figures["cpu_ratio"] = round(figures["import"]["cpu_seconds"] / figures["plain"]["cpu_seconds"], 2)
    return figures


def main() -> None:
    """Read the command line, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000_000, 50_000_000], help="rows of each measurement")
    parser.add_argument("--repeated", type=float, default=0.0, help="share of rows that are there twice")
    parser.add_argument("--folder", type=Path, help="for all files; by default that for temporary files")
    parser.add_argument("--way", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write every figure as JSON")
    options = parser.parse_args()
    if options.way is not None:
        _run_way(options.way, options.folder)
        return
    measurements = [_measure(n_rows, repeated=options.repeated, parent=options.folder) for n_rows in options.rows]
    header = [
        "rows",
        "CSV MiB",
        "plain s",
        "import s",
        "ratio",
        "CPU ratio",
        "plain peak MiB",
        "import peak MiB",
        "reading",
    ]
    lines = [
        [
            f"{item['rows']:,}", item["csv_mib"], item["plain"]["seconds"], item["import"]["seconds"], item["ratio"],
            item["cpu_ratio"], item["plain"]["peak_mib"], item["import"]["peak_mib"],
            f"{item['import']['reading_share']:.0%}",
        ]
        for item in measurements
    ]  # fmt: skip
    publish(
        {"repeated": options.repeated, "measurements": measurements},
        table=markdown_table(header, lines),
        output=options.output,
    )


if __name__ == "__main__":
    main()
