"""Does data deletion jobs: the ledger first, then the event log, the tables with their history, and a report.

Every step can be repeated: the entry of the first attempt stays in force, what is gone is gone, and the commits of the
tables carry the deletion's folder as an application transaction whose number is that of the deleted rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import chain
from typing import Final, Protocol

from common.deletions import DeletedUsers, DigestSet, id_digest, read_deletion, write_deletion, write_report
from common.errors import InvalidInput, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from common.table_deletions import ErasableTable
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry, DeletionReport, TableDeletion
from trainer.deletions.artifacts import artifacts_with_users
from trainer.deletions.tables import delete_users, reports_folder, sessions_of
from trainer.deletions.user_ids import check_size, read_user_ids
from trainer.files.sources import Sources
from trainer.flushing import Flusher
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["DeletionJobHandler", "UserRemover"]

_log = get_logger(__name__)
_FAILED: Final = "Deletion failed. "
_KEY_BYTES: Final = 32


class UserRemover(Protocol):
    """Removes users from the event log."""

    def remove(self, location: str, table_location: str, context: JobContext) -> int:
        """Remove the records of a table, and announce the deletion to runtimes; return how many records those were.

        Args:
            location: Folder of the deletion in the ledger.
            table_location: Folder of the table.
            context: Cancels the wait when the job must end.

        Raises:
            Unavailable: The events service cannot be reached.
            JobCancelled: The job must end.
        """
        ...


class DeletionJobHandler:
    """Deletes users; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        sources: Finds the files with the users.
        workspace: Makes folders for copies of files.
        flusher: Moves acknowledged records into the tables, which deletes them with the rest.
        remover: Removes users from the event log.
        max_bytes: How much the files may be together.
    """

    def __init__(
        self,
        store: Store,
        sources: Sources,
        workspace: Workspace,
        *,
        flusher: Flusher,
        remover: UserRemover,
        max_bytes: int,
    ) -> None:
        self._store = store
        self._sources = sources
        self._workspace = workspace
        self._flusher = flusher
        self._remover = remover
        self._max_bytes = max_bytes

    def run(self, payload: jobs_pb2.DataDeletionPayload, context: JobContext) -> jobs_pb2.DataDeletionResult:
        """Delete the users of one location.

        Raises:
            InvalidInput: Location or files are wrong; the message becomes the job's failureReason.
            Unavailable: Source, store or events service cannot be reached.
            JobCancelled: The job must end; another attempt continues.
        """
        deleted = self._entry(payload, context)
        report = DeletionReport(users=len(deleted.users))
        steps = max(1, len(payload.tables))
        for place, table in enumerate(payload.tables):
            context.report(fraction=0.3 + 0.3 * place / steps, activity="removing users from the event log")
            report.log_records += self._remover.remove(payload.location, table.location, context)
        for place, table in enumerate(payload.tables):
            context.report(fraction=0.6 + 0.3 * place / steps, activity=f"deleting from {table.dataset_type}")
            context.confirm()
            rows = delete_users(self._store, ErasableTable(self._store, table.location), deleted)
            self._store.delete_folder(reports_folder(table.location))
            report.tables.append(TableDeletion(location=table.location, rows=rows))
        context.report(fraction=0.9, activity="looking for models that have the users")
        with self._workspace.folder() as folder:
            if payload.tables:
                artifacts = artifacts_with_users(self._store, payload.tables[0].location, deleted, folder=folder)
                report.artifacts.extend(artifacts)
        context.confirm()
        report.finished_at.GetCurrentTime()
        write_report(self._store, payload.location, report)
        rows = sum(table.rows for table in report.tables)
        _log.info("users_deleted", users=report.users, rows=rows, artifacts=len(report.artifacts))
        versions = sorted({item.solution_version_arn for item in report.artifacts})
        return jobs_pb2.DataDeletionResult(deleted_rows=rows, solution_version_arns=versions)

    def _entry(self, payload: jobs_pb2.DataDeletionPayload, context: JobContext) -> DeletedUsers:
        """Return the entry of the ledger: that of an earlier attempt, or a new one."""
        try:
            return read_deletion(self._store, payload.location)
        except ResourceNotFound:
            pass
        context.report(fraction=0.0, activity="reading user ids")
        with self._workspace.folder() as folder:
            try:
                files = self._sources.fetch(payload.data_location, folder=folder, sub_folders=True, check=context.check)
                check_size(files, max_bytes=self._max_bytes)
                users = DigestSet.of(secrets.token_bytes(_KEY_BYTES), _digests(read_user_ids(files), context))
            except InvalidInput as error:
                raise InvalidInput(f"{_FAILED}{error.message}") from error
        # What is in the tables is deleted from them: so all that was acknowledged before has to be there.
        # Flushed twice: the log may have been replaced, and goes on above the rows of a table once that one is flushed.
        for _ in range(2):
            offsets = [self._flusher.flush(table.location, context).log_offset for table in payload.tables]
        entry = DeletionEntry(
            dataset_group_arn=payload.dataset_group_arn, began_at=payload.began_at, up_to_offset=min(offsets, default=0)
        )
        context.report(fraction=0.2, activity="looking for the users' sessions")
        sessions = chain.from_iterable(
            sessions_of(ErasableTable(self._store, table.location), users, up_to=entry.up_to_offset)
            for table in payload.tables
        )
        context.confirm()
        return write_deletion(
            self._store, payload.location, entry, users=users, sessions=DigestSet.of(users.key, sessions)
        )


def _digests(user_ids: Iterator[str], context: JobContext) -> Iterator[bytes]:
    for number, user_id in enumerate(user_ids):
        if number % 100_000 == 0:
            context.check()
        yield id_digest(user_id)
