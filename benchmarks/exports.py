"""Exports: rows a second and peak memory by the size of the table: `python -m benchmarks.exports`.

Of generated interactions, all distinct, which is the worst case for an export: nothing that it holds to find
repetitions becomes less. Each export is one job of a trainer's handler, in a process of its own, from a local table to
a local folder. The peak is that of the whole process, Python and its libraries included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.memory import peak_mib
from benchmarks.report import markdown_table, publish
from common import columns
from common.files.outputs import Outputs
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from protos.tailorbird.control.v1.common_pb2 import IngestionMode
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.exports import ExportJobHandler
from trainer.flushing import Flushed
from trainer.worker import JobContext, NullJobContext
from trainer.workspace import Workspace

_LOCATION: Final = "datasets/INTERACTIONS"
_COMMIT_ROWS: Final = 1_000_000
_FIELDS: Final = {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"}
_SCHEMA: Final = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [{"name": name, "type": kind} for name, kind in _FIELDS.items()],
    "version": "1.0",
}


class NothingStreamed:
    """Of a table that nothing is streamed into."""

    def flush(self, location: str, context: JobContext) -> Flushed:  # noqa: ARG002 - the port's signature
        """Do nothing: the log is empty, and the table has all there is."""
        return Flushed(0)


def _settings(root: Path) -> StoreSettings:
    return StoreSettings(store_url=str(root / "store"))


def _write_table(root: Path, rows: int) -> None:
    """Write a table of distinct interactions, in commits as imports make them."""
    random, table = np.random.default_rng(1), Table(open_store(_settings(root)), _LOCATION)
    for begin in range(0, rows, _COMMIT_ROWS):
        number = min(_COMMIT_ROWS, rows - begin)
        frame = pl.DataFrame(
            {
                "USER_ID": pl.Series(random.integers(0, 1 + rows // 20, number)).cast(pl.String),
                "ITEM_ID": pl.Series(random.integers(0, 60_000, number)).cast(pl.String),
                "TIMESTAMP": np.arange(begin, begin + number) + 1_700_000_000,
                "EVENT_TYPE": pl.Series(["watch"]).new_from_index(0, number),
                columns.SOURCE: pl.Series([columns.SOURCE_BULK]).new_from_index(0, number),
            }
        )
        table.append(frame)


def _export(root: Path) -> dict[str, Any]:
    """Export the table; return the figures of this process."""
    (root / "s3" / "results").mkdir(parents=True)
    settings = _settings(root)
    outputs = Outputs(settings, buckets=root / "s3", roots=())
    handler = ExportJobHandler(open_store(settings), outputs, Workspace(root / "work"), flusher=NothingStreamed())
    payload = jobs_pb2.DatasetExportPayload(
        table=jobs_pb2.DatasetTable(dataset_type="INTERACTIONS", location=_LOCATION, schema=json.dumps(_SCHEMA)),
        ingestion_mode=IngestionMode.INGESTION_MODE_ALL,
        output_location="s3://results/",
        job_name="export",
    )
    start = time.perf_counter()
    result = handler.run(payload, NullJobContext())
    seconds = time.perf_counter() - start
    return {
        "rows": result.exported_rows,
        "files": result.files,
        "seconds": round(seconds, 2),
        "rows_per_second": round(result.exported_rows / seconds),
        "peak_mib": peak_mib(),
    }


def main() -> None:
    """Read the command line, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 25_000_000], help="of the tables")
    parser.add_argument("--output", type=Path, help="write every figure as JSON")
    parser.add_argument("--in-folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_folder is not None:
        sys.stdout.write(json.dumps(_export(options.in_folder)))
        return
    measurements = []
    for rows in options.rows:
        with TemporaryDirectory() as folder:
            _write_table(Path(folder), rows)
            command = [sys.executable, "-m", "benchmarks.exports", "--in-folder", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measurements.append(json.loads(done.stdout.splitlines()[-1]))
    header = ["rows", "files", "seconds", "rows/s", "peak MiB"]
    table = markdown_table(header, [list(measurement.values()) for measurement in measurements])
    publish({"measurements": measurements}, table=table, output=options.output)


if __name__ == "__main__":
    main()
