"""Does feature snapshot jobs: publishes the snapshot of a table as it is now, and removes those that nobody reads.

No snapshot outlives what a deletion takes from its table. Who deletes removes the rows first, then the versions of the
table that had them, then the snapshots. A job that publishes after that finds that the version is gone which it has
read, and removes its snapshot again. One that is killed in between leaves a snapshot that nobody was told of; the next
attempt removes it before anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from common.artifacts import MANIFEST
from common.deletions import DeletionWatch, deletions_folder, finished_deletions
from common.errors import Unavailable
from common.feature_folders import features_folder, features_location
from common.features.publishing import publish_snapshot
from common.logs import get_logger
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest
from trainer.flushing import Flusher
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["KEPT_SNAPSHOTS", "FeatureSnapshotJobHandler"]

#: Snapshots of a table that stay: who has not heard of the newest reads the one before.
KEPT_SNAPSHOTS: Final = 2
_log = get_logger(__name__)


class FeatureSnapshotJobHandler:
    """Makes snapshots of features; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        workspace: Makes folders for the files of jobs.
        flusher: Moves acknowledged records into the table.
    """

    def __init__(self, store: Store, workspace: Workspace, *, flusher: Flusher) -> None:
        self._store = store
        self._workspace = workspace
        self._flusher = flusher

    def run(self, payload: jobs_pb2.FeatureSnapshotPayload, context: JobContext) -> jobs_pb2.FeatureSnapshotResult:
        """Make the snapshot of one table, unless there is one of its version.

        Raises:
            CorruptArtifact: A file of the table is damaged or missing.
            Unavailable: Store, workspace or events service cannot be reached, or users are being deleted.
            JobCancelled: The job must end.
        """
        table = Table(self._store, payload.table.location)
        watch = DeletionWatch(self._store, [table.location])
        if payload.streamed:
            context.report(fraction=0.0, activity="waiting for the latest records")
            self._flusher.flush(table.location, context)
        if not table.exists():
            return jobs_pb2.FeatureSnapshotResult()
        self._remove_unread(table)
        # Before the version is chosen: what it has of these users came after their deletion.
        deletions = finished_deletions(self._store, deletions_folder(table.location))
        version = table.version()
        location = features_location(table.location, version)
        with watch.reading():
            manifest = self._publish(payload.table, version, context, deletions=deletions)
            # Last of all: whoever erases the version after this look removes the snapshot.
            if table.oldest_version() > version:
                self._store.delete_folder(location)
                raise Unavailable("users were deleted from the dataset meanwhile; the job reads its rows again")
        self._remove_unread(table)
        size = sum(file.bytes for file in manifest.files)
        _log.info("features_published", location=location, rows=manifest.n_rows, bytes=size)
        return jobs_pb2.FeatureSnapshotResult(location=location, version=version, rows=manifest.n_rows, bytes=size)

    def _publish(
        self, table: jobs_pb2.DatasetTable, version: int, context: JobContext, *, deletions: Sequence[str]
    ) -> FeatureManifest:
        context.report(fraction=0.1, activity=f"making the snapshot of {table.dataset_type}")
        try:
            with self._workspace.folder() as folder:
                return publish_snapshot(
                    self._store,
                    table.location,
                    table.schema,
                    dataset_type=table.dataset_type,
                    version=version,
                    folder=folder,
                    deletions=deletions,
                    check=context.check,
                    confirm=context.confirm,
                )
        except OSError as error:
            raise Unavailable(f"the trainer's work folder cannot be used: {error}") from error

    def _remove_unread(self, table: Table) -> None:
        """Remove all snapshots but the newest, and those of versions that the table no longer has."""
        folder = PurePosixPath(features_folder(table.location))
        paths = [PurePosixPath(item.path).relative_to(folder) for item in self._store.list(str(folder))]
        published = sorted(int(path.parts[0]) for path in paths if path.parts[1:] == (MANIFEST,))
        oldest = table.oldest_version()
        kept = {version for version in published[-KEPT_SNAPSHOTS:] if version >= oldest}
        for version in {int(path.parts[0]) for path in paths} - kept:
            self._store.delete_folder(features_location(table.location, version))
