"""Does dataset export jobs: reads one version of the table batch by batch, and writes CSV files and a manifest.

An attempt replaces what an attempt before it wrote, and asks whether the job is still its own before each file: see
`common.files.outputs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from common import columns
from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.deletions import DeletionWatch
from common.distinct import Distinct
from common.errors import Unavailable
from common.files.outputs import OutputFolder, Outputs
from common.logs import get_logger
from common.newest import newest
from common.storage import Store
from common.tables import Table
from protos.tailorbird.control.v1.common_pb2 import IngestionMode
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.exports.csv_writer import FileWriter
from trainer.flushing import Flusher
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["ExportJobHandler"]

_log = get_logger(__name__)
#: Where rows must come from in each mode.
_SOURCES: Final = {
    IngestionMode.INGESTION_MODE_BULK: columns.SOURCE_BULK,
    IngestionMode.INGESTION_MODE_PUT: columns.SOURCE_PUT,
    IngestionMode.INGESTION_MODE_ALL: None,
}
#: The id of the datasets that have one row for each.
_IDS: Final = {"ITEMS": (columns.ITEM_ID,), "USERS": (columns.USER_ID,), "ACTIONS": ("ACTION_ID",)}
_FILE_NAME: Final = "part-{:05}.csv"
_IS_FILE: Final = re.compile(r"part-\d{5,}\.csv")


class ExportJobHandler:
    """Exports the rows of a dataset; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        outputs: Opens the folder that is written to.
        workspace: Makes folders for files that are being written.
        flusher: Moves acknowledged events into the table.
        file_bytes: Size of the files, all but the last.
        memory_bytes: How much of the rows is gathered; the process takes about ten times as much for it.
    """

    def __init__(
        self,
        store: Store,
        outputs: Outputs,
        workspace: Workspace,
        *,
        flusher: Flusher,
        file_bytes: int = 256 * 1024 * 1024,
        memory_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._outputs = outputs
        self._workspace = workspace
        self._flusher = flusher
        self._file_bytes = file_bytes
        self._memory_bytes = memory_bytes

    def run(self, payload: jobs_pb2.DatasetExportPayload, context: JobContext) -> jobs_pb2.DatasetExportResult:
        """Export one table.

        Raises:
            InvalidInput: The folder cannot be written to; the message becomes the job's failureReason.
            Unavailable: Store, destination or events service cannot be reached.
            JobCancelled: The job must end; the folder has no manifest.
        """
        watch = DeletionWatch(self._store, [payload.table.location])
        output = self._outputs.open(payload.output_location, payload.job_name)
        source = _SOURCES[payload.ingestion_mode]
        if source != columns.SOURCE_BULK:
            context.report(fraction=0.0, activity="waiting for the latest records")
            self._flusher.flush(payload.table.location, context)
        context.confirm()
        output.begin(lambda name: bool(_IS_FILE.fullmatch(name)))
        try:
            with self._workspace.folder() as folder, watch.reading():
                self._write(payload, output, folder, context=context)
        except OSError as error:
            raise Unavailable(f"the trainer's work folder cannot be used: {error}") from error
        context.confirm()
        output.finish(
            {
                "datasetType": payload.table.dataset_type,
                "ingestionMode": IngestionMode.Name(payload.ingestion_mode).removeprefix("INGESTION_MODE_"),
            }
        )
        rows = sum(item["rows"] for item in output.files)
        _log.info("exported", dataset_type=payload.table.dataset_type, rows=rows, files=len(output.files))
        return jobs_pb2.DatasetExportResult(exported_rows=rows, files=len(output.files))

    def _write(
        self, payload: jobs_pb2.DatasetExportPayload, output: OutputFolder, folder: Path, *, context: JobContext
    ) -> None:
        """Write the files of an export."""
        schema = frame_schema(AvroSchema.parse(payload.table.schema))
        ids: tuple[str, ...] = _IDS.get(payload.table.dataset_type, ())
        if payload.ingestion_mode == IngestionMode.INGESTION_MODE_ALL and ids:
            distinct = Distinct(ids, partial(newest, keys=ids), folder, self._memory_bytes)
        else:
            names = tuple(schema)
            distinct = Distinct(names, partial(pl.DataFrame.unique, subset=names), folder, self._memory_bytes)
        files = folder / "files"
        files.mkdir()

        def put(path: Path, rows: int) -> None:
            context.confirm()
            output.put(_FILE_NAME.format(len(output.files) + 1), path, rows=rows)

        with FileWriter(list(schema), folder=files, file_bytes=self._file_bytes, on_file=put) as writer:
            for rows in distinct.rows(_batches(self._store, payload, schema, context=context)):
                context.check()
                writer.write(rows.select(list(schema)))
            writer.finish()


def _batches(
    store: Store, payload: jobs_pb2.DatasetExportPayload, schema: dict[str, pl.DataType], *, context: JobContext
) -> Iterator[pl.DataFrame]:
    """Yield the rows that a mode means, with the schema's columns and those that tell versions apart."""
    table = Table(store, payload.table.location)
    if not table.exists():
        return
    types = {**schema, columns.SOURCE: pl.String(), columns.LOG_OFFSET: pl.Int64()}
    read = 0
    for batch in table.batches(list(types), version=table.version(), source=_SOURCES[payload.ingestion_mode]):
        read += len(batch)
        context.report(fraction=0.0, activity=f"reading {read:,} rows")
        context.check()
        # A column that the schema got later is not in the table before rows have it.
        missing = [pl.lit(None, kind).alias(name) for name, kind in types.items() if name not in batch.columns]
        yield batch.with_columns(missing).select(list(types))
