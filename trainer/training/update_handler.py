"""Does the jobs that add new items to a solution version: trainings of mode UPDATE, published beside the first.

Runtimes that have not moved on yet read the artifact that the update begins from, so that one stays until the next
update; those before it are removed.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from common.artifacts import read_manifest
from common.errors import TailorbirdError
from common.logs import get_logger
from common.storage import Store
from common.table_changes import rows_changed_since
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from trainer.training.handler import TrainingJobHandler
from trainer.worker import JobContext

__all__ = ["UpdateJobHandler"]

_log = get_logger(__name__)
_ITEMS = "ITEMS"


class UpdateJobHandler:
    """Updates solution versions; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        trainings: Does the training.
    """

    def __init__(self, store: Store, trainings: TrainingJobHandler) -> None:
        self._store = store
        self._trainings = trainings

    def run(
        self, payload: jobs_pb2.SolutionVersionUpdatePayload, context: JobContext
    ) -> jobs_pb2.SolutionVersionUpdateResult:
        """Update one solution version, unless its newest artifact has the items as they are.

        Raises:
            InvalidInput: The version cannot be updated: fields that it has learnt from are gone.
            ResourceNotFound: The artifact to begin from was removed.
            CorruptArtifact: It is damaged.
            Unavailable: The store or the events service cannot be reached, or the training process died.
            JobCancelled: The job must end; nothing was published.
        """
        training = payload.training
        base = read_manifest(self._store, training.base_artifact_location)
        if self._has_present_items(base, training):
            _log.info("items_unchanged", solution_version_arn=training.solution_version_arn)
            return jobs_pb2.SolutionVersionUpdateResult(published=False)
        result = self._trainings.run(training, context)
        self._remove_older(training)
        return jobs_pb2.SolutionVersionUpdateResult(published=True, artifact_bytes=result.artifact_bytes)

    def _has_present_items(self, base: ArtifactManifest, training: jobs_pb2.SolutionVersionTrainingPayload) -> bool:
        """Return whether an artifact was made of the rows that the items' table has now."""
        versions = {table.location: table.version for table in base.snapshot.tables}
        items = next((table.location for table in training.tables if table.dataset_type == _ITEMS), None)
        return items in versions and not rows_changed_since(self._store, items, versions[items])

    def _remove_older(self, training: jobs_pb2.SolutionVersionTrainingPayload) -> None:
        """Remove the artifacts of earlier updates, and what attempts have left, but for the one that was begun from."""
        folder = PurePosixPath(training.artifact_location).parent
        kept = {training.artifact_location, training.base_artifact_location}
        try:
            names = {PurePosixPath(item.path).relative_to(folder).parts[0] for item in self._store.list(str(folder))}
            for location in sorted({f"{folder}/{name}" for name in names} - kept):
                self._store.delete_folder(location)
        except (OSError, TailorbirdError) as error:
            # The update is published: what is left goes with the next one, or with the solution.
            _log.warning("old_artifacts_left", folder=str(folder), cause=str(error))
