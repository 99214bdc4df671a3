"""Does dataset import jobs: fetch, read, check everything, and only then one commit.

The commit carries the id of the import as an application transaction whose number is the number of rows, so that an
attempt after a success changes nothing and still knows the result.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from common import columns
from common.arrow_schema import INTERNAL_TYPES
from common.avro import AvroSchema
from common.errors import InvalidInput
from common.logs import get_logger
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.domain.import_report import import_failed
from trainer.files.sources import Sources
from trainer.imports.csv_reader import read_rows
from trainer.imports.values import id_columns
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["ImportJobHandler"]

_EVENTS: Final = frozenset({"INTERACTIONS", "ACTION_INTERACTIONS"})
_log = get_logger(__name__)


class ImportJobHandler:
    """Imports the files of a location into the table of a dataset; a `trainer.worker.JobHandler`.

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
        done = _committed_rows(table, payload.import_id)
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
        rows = _without_duplicates(rows, schema, dataset_type=kind)
        context.report(fraction=0.9, activity=f"writing {len(rows):,} rows")
        context.confirm()
        _commit(table, rows, dataset_type=kind, replace=payload.replace, import_id=payload.import_id)
        _log.info("imported", dataset_type=kind, rows=len(rows), files=len(files))
        return jobs_pb2.DatasetImportResult(imported_rows=len(rows), files=len(files))


def _committed_rows(table: Table, import_id: str) -> int | None:
    """Return how many rows an import wrote, None when it did not commit yet."""
    return table.transaction(import_id)


def _without_duplicates(rows: pl.DataFrame, schema: AvroSchema, *, dataset_type: str) -> pl.DataFrame:
    """Drop what says nothing new: identical interactions, and all but the last row of an item or a user."""
    if dataset_type in _EVENTS:
        return rows.unique([field.name for field in schema.fields], keep="first", maintain_order=True)
    return rows.unique(list(id_columns(dataset_type)), keep="last", maintain_order=True)


def _commit(table: Table, rows: pl.DataFrame, *, dataset_type: str, replace: bool, import_id: str) -> None:
    """Write imported rows into a dataset's table, as one commit.

    A FULL import takes the place of all rows of earlier bulk imports and leaves streamed ones. An incremental one adds
    interactions, and replaces items and users of the same id.

    Args:
        table: The table of the dataset.
        rows: The schema's columns, without duplicates.
        dataset_type: E.g. `INTERACTIONS`.
        replace: FULL, not incremental.
        import_id: Recorded in the commit.

    Raises:
        Unavailable: The store cannot be reached, or others committed in between again and again.
    """
    marked = _marked(rows, dataset_type)
    if replace:
        table.replace_bulk(marked, app_id=import_id, number=len(rows))
    elif dataset_type in _EVENTS:
        table.append(marked, app_id=import_id, number=len(rows))
    else:
        table.upsert(marked, keys=id_columns(dataset_type), app_id=import_id, number=len(rows))


def _marked(rows: pl.DataFrame, dataset_type: str) -> pl.DataFrame:
    """Add the internal columns; only events have all of them."""
    marked = rows.with_columns(pl.lit(columns.SOURCE_BULK, pl.String()).alias(columns.SOURCE))
    if dataset_type in _EVENTS:
        empty = {name: kind for name, kind in INTERNAL_TYPES.items() if name != columns.SOURCE}
        marked = marked.with_columns(pl.lit(None, kind).alias(name) for name, kind in empty.items())
    return marked
