"""The report of a metric attribution that an import publishes: kept before the commit, written out after it.

A report is of rows that are visible, and each import has one. So it is kept beside the table before the commit, which
an attempt after a kill finds there, and goes out under a name that is the import's alone: written twice it is one file.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.attribution import report_name
from common.avro import AvroSchema
from common.data_files import import_failed
from common.errors import InvalidInput, ResourceNotFound, Unavailable
from common.files.outputs import OutputFolder, Outputs
from common.logs import get_logger
from common.recommendation_ids import RecommendationIds
from common.storage import Store
from common.table_files import TableFile
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetImportPayload
from trainer.imports.attribution import AttributedRows

__all__ = ["ImportReport"]

_log = get_logger(__name__)
_NOT_WRITTEN: Final = "The rows were imported, but the report of the metric attribution was not written:"


class ImportReport:
    """The report of one import; used by one attempt.

    Args:
        store: Holds the tables, and reports that are kept.
        outputs: Write reports.
        ids: Resolve recommendations.
        payload: The job's, with an attribution.
    """

    def __init__(self, store: Store, outputs: Outputs, ids: RecommendationIds, payload: DatasetImportPayload) -> None:
        self._store = store
        self._outputs = outputs
        self._ids = ids
        self._payload = payload
        # Who deletes the dataset deletes it too, and Delta Lake passes over names that begin with an underscore.
        self._kept_folder = f"{payload.table.location}/_attribution_reports"
        # Of this attempt: one that is late must not touch what another has kept.
        self._kept = f"{self._kept_folder}/{payload.import_id}.{secrets.token_hex(4)}.csv"
        self._path: Path | None = None

    def check(self) -> None:
        """Look whether the report can be written, before rows are read for it.

        Raises:
            InvalidInput: It cannot: there is no such bucket, or the location is forbidden.
            Unavailable: The service cannot be reached.
        """
        try:
            self._output().check()
        except InvalidInput as error:
            raise import_failed(self._payload.table.dataset_type, error.message) from error

    def keep(self, files: Iterable[TableFile], schema: AvroSchema, folder: Path) -> None:
        """Add the rows of an import up, and keep the report until they are committed.

        Args:
            files: All its rows.
            schema: That of the interactions.
            folder: Existing and empty, for files.

        Raises:
            CorruptArtifact: A file of the table of items is damaged.
            Unavailable: The store cannot be reached.
        """
        rows = AttributedRows(self._payload.attribution, schema, store=self._store, ids=self._ids, folder=folder)
        self._path = rows.write_report(files)
        self._store.put(self._kept, self._path)

    def discard(self) -> None:
        """Remove what this attempt has kept: nothing was committed."""
        self._store.delete([self._kept])

    def publish(self) -> None:
        """Write out what `keep` has added up.

        Raises:
            InvalidInput: It cannot be written; the rows are imported.
            Unavailable: It cannot be written now.
        """
        assert self._path is not None, "`keep` comes first"
        self._write(self._path)
        self._store.delete(self._all_kept())

    def publish_kept(self, folder: Path) -> None:
        """Write out what an attempt before has kept, if it did not get so far itself; errors of `publish`.

        Args:
            folder: Existing, for a file.
        """
        kept = self._all_kept()
        path = folder / "report.csv"
        try:
            if kept:
                self._store.download(kept[0], path)
        except ResourceNotFound:
            return  # the attempt before was late, and has written it meanwhile
        if kept:
            self._write(path)
            self._store.delete(kept)

    def _write(self, path: Path) -> None:
        name = report_name(f"DatasetImportJob {self._payload.job_name}", self._payload.requested_at.seconds)
        with _after_the_commit():
            self._output().write(name, path)
        _log.info("attribution_report_written", attribution=self._payload.attribution.metric_attribution_arn)

    def _output(self) -> OutputFolder:
        return self._outputs.open(self._payload.attribution.output_path, "")

    def _all_kept(self) -> list[str]:
        listed = self._store.files(self._kept_folder)
        return [item.path for item in listed if item.path.startswith(f"{self._kept_folder}/{self._payload.import_id}.")]


@contextmanager
def _after_the_commit() -> Iterator[None]:
    """Let errors say that the rows are there."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{_NOT_WRITTEN} {error.message}") from error
    except Unavailable as error:
        raise Unavailable(f"{_NOT_WRITTEN} {error.message}") from error
