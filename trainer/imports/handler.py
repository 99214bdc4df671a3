"""Does dataset import jobs: fetch, read, check everything, and only then one commit.

Rows go through files of the job's folder, so that memory does not grow with the import. The commit carries the id of
the import as an application transaction whose number is the number of rows, so that an attempt after a success changes
nothing and still knows the result. Nobody reads what attempts leave that were killed before it: the one that succeeds
removes it from the table's folder, maintenance if none does; the trainer's start removes it from the workspace.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Final

import polars as pl

from common import columns
from common.arrow_schema import INTERNAL_TYPES, frame_schema
from common.avro import AvroSchema
from common.data_files import DataFile, DataReader, Report, import_failed
from common.data_files.values import EVENT_DATASETS, id_columns
from common.errors import InvalidInput, Unavailable
from common.files.outputs import Outputs
from common.logs import get_logger
from common.recommendation_ids import RecommendationIds
from common.storage import Store
from common.table_files import StagedFile, TableFile
from common.tables import Table, TableChanged
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.deletions.tables import obey_deletions, reports_folder
from trainer.files.sources import SourceFile, Sources
from trainer.imports.replacement import BulkFiles
from trainer.imports.reports import ImportReport
from trainer.imports.row_files import DistinctRows, RowFiles
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["ImportJobHandler", "report_location"]

#: How often another commit may come first before the job is handed back, to be tried again later.
_ATTEMPTS: Final = 10
_log = get_logger(__name__)


def report_location(table_location: str, import_id: str) -> str:
    """Return where the report of an import that failed is, relative to the store's root."""
    return f"{reports_folder(table_location)}/{import_id}.json"


class ImportJobHandler:
    """Imports the files of a location into the table of a dataset; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        sources: Finds the files.
        workspace: Makes folders for copies of files.
        outputs: Write the reports of metric attributions.
        ids: Resolve recommendations.
    """

    def __init__(
        self, store: Store, sources: Sources, workspace: Workspace, *, outputs: Outputs, ids: RecommendationIds
    ) -> None:
        self._store = store
        self._sources = sources
        self._workspace = workspace
        self._outputs = outputs
        self._ids = ids

    def run(self, payload: jobs_pb2.DatasetImportPayload, context: JobContext) -> jobs_pb2.DatasetImportResult:
        """Import one location.

        Raises:
            InvalidInput: Location or files are wrong; the message becomes the job's failureReason.
            Unavailable: Source or store cannot be reached.
            JobCancelled: The job must end; nothing was written.
        """
        kind = payload.table.dataset_type
        table = Table(self._store, payload.table.location)
        done = _committed_rows(table, payload.import_id)
        report = self._report(payload)
        if done is not None:
            _log.info("import_committed_before", rows=done)
            obey_deletions(self._store, payload)
            if report is not None:
                with self._workspace.folder() as folder:
                    report.publish_kept(folder)
            return jobs_pb2.DatasetImportResult(imported_rows=done)
        if report is not None:
            report.check()
        with self._workspace.folder() as folder:
            context.report(fraction=0.0, activity="fetching files")
            try:
                files = self._sources.fetch(payload.data_location, folder=folder, check=context.check)
            except InvalidInput as error:
                raise import_failed(kind, error.message) from error
            attempt = _Import(self._store, table, payload, context, folder, report)
            rows = attempt.run(files)
            obey_deletions(self._store, payload)
            if report is not None:
                report.publish()
        _log.info("imported", dataset_type=kind, rows=rows, files=len(files))
        return jobs_pb2.DatasetImportResult(imported_rows=rows, files=len(files))

    def _report(self, payload: jobs_pb2.DatasetImportPayload) -> ImportReport | None:
        """Return the report of an import, if it publishes one."""
        if not payload.HasField("attribution"):
            return None
        return ImportReport(self._store, self._outputs, self._ids, payload)


class _Import:
    """One attempt to import files that are there.

    Args:
        store: The shared store.
        table: The table of the dataset.
        payload: The job's.
        context: The job's.
        folder: For files of the job.
        report: Of a metric attribution; None for none.
    """

    def __init__(
        self,
        store: Store,
        table: Table,
        payload: jobs_pb2.DatasetImportPayload,
        context: JobContext,
        folder: Path,
        report: ImportReport | None,
    ) -> None:
        self._store = store
        self._table = table
        self._kind = payload.table.dataset_type
        self._schema = AvroSchema.parse(payload.table.schema)
        self._is_full = payload.replace
        self._import_id = payload.import_id
        self._location = payload.table.location
        self._context = context
        self._folder = folder
        self._report = report
        self._staging = f"import-{payload.import_id}"
        # Of this attempt: one that is late must not touch the files of another.
        self._attempt = secrets.token_hex(4)
        self._numbers = count()
        #: Rows of an id replace each other, also those of earlier imports if the import is incremental.
        self._merges = not self._is_full and self._kind not in EVENT_DATASETS

    def run(self, files: Iterable[SourceFile]) -> int:
        """Import the files and return the number of rows."""
        data_files = [DataFile(file.name, file.path) for file in files]
        bulk_files = BulkFiles(self._table, _new_folder(self._folder, "table"))
        for number in range(_ATTEMPTS):
            merged = bulk_files.names(self._table.snapshot()) if self._merges else []
            rows = self._read(data_files, bulk_files, merged, _new_folder(self._folder, f"rows-{number}"))
            if self._commit(rows, bulk_files, merged):
                return rows.new_rows
            # The bulk rows that these were merged with are in other files now.
        raise self._too_often()

    def _read(self, files: list[DataFile], bulk_files: BulkFiles, merged: list[str], folder: Path) -> DistinctRows:
        """Write the rows of the import, and those they are merged with, to files without duplicates."""
        keys = list(frame_schema(self._schema)) if self._kind in EVENT_DATASETS else list(id_columns(self._kind))
        offset = self._table.offset_of_import() if self._merges else None
        reader = DataReader(self._schema, dataset_type=self._kind, progress=self._progress)
        with RowFiles(folder, keys=keys, keep="first" if self._kind in EVENT_DATASETS else "last") as row_files:
            for name in merged:
                for rows in bulk_files.bulk_rows(name):
                    row_files.add(_conformed(rows, self._schema))
            row_files.mark()
            for rows in reader.batches(files):
                row_files.add(_marked(rows, self._kind, offset=offset))
            if not reader.report.clean:
                raise self._rejected(reader.report)
            if reader.report.ignored_columns:
                _log.info("columns_ignored", columns=reader.report.ignored_columns)
            self._context.report(fraction=0.8, activity="looking for duplicates")
            return row_files.finish()

    def _commit(self, rows: DistinctRows, bulk_files: BulkFiles, merged: list[str]) -> bool:
        """Make the rows visible; return False if they must be merged with others by now."""
        self._context.report(fraction=0.9, activity=f"writing {rows.new_rows:,} rows")
        may_be_committed = False
        try:
            if self._report is not None:
                self._report.keep(rows.files, self._schema, _new_folder(self._folder, "report"))
            staged = self._stage(rows.files, {})
            for _ in range(_ATTEMPTS):
                snapshot = self._table.snapshot()
                if _committed_rows(self._table, self._import_id) is not None:
                    may_be_committed = True  # by another attempt, which was late, or by this one
                    return True
                removed = bulk_files.names(snapshot) if self._is_full or self._merges else []
                if self._merges and removed != merged:
                    return False
                streamed = [file for name in removed for file in bulk_files.streamed_rows(name)]
                staged = self._stage(streamed, staged)
                self._context.confirm()
                may_be_committed = True
                try:
                    self._table.replace_files(
                        [staged[file.path] for file in (*rows.files, *streamed)],
                        removed=removed,
                        after=snapshot.version,
                        app_id=self._import_id,
                        number=rows.new_rows,
                    )
                except TableChanged:
                    may_be_committed = False
                    continue
                # The table has another version now, so no other attempt can commit what it has staged.
                for attempt in self._table.staged_folders(self._staging) - {self._attempt}:
                    self._table.remove_staged(f"{self._staging}/{attempt}")
                return True
            raise self._too_often()
        finally:
            if not may_be_committed:
                self._table.remove_staged(f"{self._staging}/{self._attempt}")
                if self._report is not None:
                    self._report.discard()

    def _stage(self, files: list[TableFile], staged: Mapping[Path, StagedFile]) -> dict[Path, StagedFile]:
        """Return the staged files, with those added that are not among them yet."""
        names = {
            file.path: f"{self._staging}/{self._attempt}/{next(self._numbers):05}.parquet"
            for file in files
            if file.path not in staged
        }
        return {
            **staged,
            **{file.path: self._table.stage(file, names[file.path]) for file in files if file.path in names},
        }

    def _rejected(self, report: Report) -> InvalidInput:
        """Write the whole report beside the table, and return the error with the short one."""
        location = report_location(self._location, self._import_id)
        document = {"datasetType": self._kind, "importId": self._import_id, **report.as_json()}
        self._store.put(location, json.dumps(document, indent=2, ensure_ascii=False).encode())
        return import_failed(self._kind, f"{report.detail} Whole report: {location} in the store.")

    def _progress(self, share: float) -> None:
        self._context.report(fraction=0.8 * share, activity="reading files")
        self._context.check()

    def _too_often(self) -> Unavailable:
        return Unavailable(f"dataset {self._location}: cannot be written: other commits came first {_ATTEMPTS} times")


def _new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _committed_rows(table: Table, import_id: str) -> int | None:
    """Return how many rows an import wrote, None when it did not commit yet."""
    return table.transaction(import_id)


def _marked(rows: pl.DataFrame, dataset_type: str, *, offset: int | None) -> pl.DataFrame:
    """Add the internal columns; only events have all of them.

    Args:
        rows: The schema's columns.
        dataset_type: E.g. `INTERACTIONS`.
        offset: Of the row in the log of events: which rows were put before it, and which later.
    """
    internal = INTERNAL_TYPES if dataset_type in EVENT_DATASETS else {
        name: INTERNAL_TYPES[name] for name in (columns.SOURCE, columns.LOG_OFFSET)
    }  # fmt: skip
    values = {columns.SOURCE: columns.SOURCE_BULK, columns.LOG_OFFSET: offset}
    return rows.with_columns(pl.lit(values.get(name), kind).alias(name) for name, kind in internal.items())


def _conformed(rows: pl.DataFrame, schema: AvroSchema) -> pl.DataFrame:
    """Return rows of a table with the columns that rows of the import have; older ones lack the newest."""
    types = {**frame_schema(schema), **{name: INTERNAL_TYPES[name] for name in (columns.SOURCE, columns.LOG_OFFSET)}}
    return rows.select(
        pl.col(name) if name in rows.columns else pl.lit(None, kind).alias(name) for name, kind in types.items()
    )
