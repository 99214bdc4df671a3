"""Does dataset import jobs: fetch, read, check everything, and only then one commit."""

from __future__ import annotations

from common.avro import AvroSchema
from common.errors import InvalidInput
from common.logs import get_logger
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.domain.import_report import import_failed
from trainer.imports.reading import read_rows
from trainer.imports.sources import Sources
from trainer.imports.writing import commit, committed_rows, without_duplicates
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["ImportJobHandler"]

_log = get_logger(__name__)


class ImportJobHandler:
    """See `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        sources: Finds the files.
        workspace: Makes folders for copies of files.
    """

    def __init__(self, store: Store, sources: Sources, workspace: Workspace) -> None:
        self._store = store
        self._sources = sources
        self._workspace = workspace

    def run(self, payload: jobs_pb2.DatasetImportPayload, context: JobContext) -> jobs_pb2.DatasetImportResult:
        """Import one location.

        Raises:
            InvalidInput: Location or files are wrong; the message becomes the job's failureReason.
            Unavailable: Source or store cannot be reached.
            JobCancelled: The job must end; nothing was written.
        """
        kind = payload.table.dataset_type
        table = Table(self._store, payload.table.location)
        done = committed_rows(table, payload.import_id)
        if done is not None:
            _log.info("import_committed_before", rows=done)
            return jobs_pb2.DatasetImportResult(imported_rows=done)
        schema = AvroSchema.parse(payload.table.schema)
        with self._workspace.folder() as folder:
            context.report(fraction=0.0, activity="fetching files")
            try:
                files = self._sources.fetch(payload.data_location, folder=folder)
            except InvalidInput as error:
                raise import_failed(kind, error.message) from error

            def progress(share: float) -> None:
                context.report(fraction=0.9 * share, activity="reading files")
                context.check()

            rows = read_rows(files, schema, dataset_type=kind, progress=progress)
        rows = without_duplicates(rows, schema, dataset_type=kind)
        context.report(fraction=0.9, activity=f"writing {len(rows):,} rows")
        context.confirm()
        commit(table, rows, dataset_type=kind, replace=payload.replace, import_id=payload.import_id)
        _log.info("imported", dataset_type=kind, rows=len(rows), files=len(files))
        return jobs_pb2.DatasetImportResult(imported_rows=len(rows), files=len(files))
