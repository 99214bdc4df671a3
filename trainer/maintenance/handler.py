"""Does storage maintenance jobs: compacts and vacuums tables, removes what killed trainings left beside artifacts.

Only folders are looked into that the metadata store names, and of them only goes what the artifact's manifest does not
name: a control plane that has lost its database empties nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import Final

from common.artifacts import MANIFEST, read_manifest
from common.clock import Clock
from common.errors import CorruptArtifact, ResourceNotFound, invalid
from common.logs import get_logger
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.worker import JobContext

__all__ = ["MAX_OBJECTS", "MaintenanceJobHandler"]

#: Objects that one job removes; the next goes on.
MAX_OBJECTS: Final = 10_000
_log = get_logger(__name__)


class MaintenanceJobHandler:
    """Puts the storage of a dataset group in order; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        clock: What ages are told by.
        max_objects: Objects of artifacts that one job removes.
    """

    def __init__(self, store: Store, clock: Clock, *, max_objects: int = MAX_OBJECTS) -> None:
        self._store = store
        self._clock = clock
        self._max_objects = max_objects

    def run(
        self, payload: jobs_pb2.StorageMaintenancePayload, context: JobContext
    ) -> jobs_pb2.StorageMaintenanceResult:
        """Put each table and artifact of the payload in order.

        Raises:
            InvalidInput: Files are to go at once.
            Unavailable: The store cannot be reached.
            JobCancelled: The job must end; what was put in order stays so.
        """
        if payload.retention_hours < 1:
            raise invalid("retention_hours", got=payload.retention_hours, want="1 or more")
        steps = len(payload.table_locations) + len(payload.artifact_locations)
        for place, location in enumerate(payload.table_locations):
            context.report(fraction=place / steps, activity=f"compacting {location}")
            context.check()
            self._maintain_table(Table(self._store, location), payload.retention_hours)
        removed = 0
        for place, location in enumerate(payload.artifact_locations, start=len(payload.table_locations)):
            context.report(fraction=place / steps, activity=f"looking through {location}")
            context.check()
            left = self._max_objects - removed
            # One more than may go tells whether something is left for the next job.
            paths = list(islice(self._leftovers(location, payload.retention_hours), left + 1))
            self._store.delete(paths[:left])
            removed += min(len(paths), left)
            if len(paths) > left:
                return jobs_pb2.StorageMaintenanceResult(removed_objects=removed, incomplete=True)
        return jobs_pb2.StorageMaintenanceResult(removed_objects=removed, incomplete=False)

    @staticmethod
    def _maintain_table(table: Table, retention_hours: int) -> None:
        """Compact and vacuum a table; one that is empty or damaged is left to those who read it."""
        try:
            if table.exists():
                version = table.compact(retention_hours=retention_hours)
                _log.info("table_maintained", location=table.location, version=version)
        except (CorruptArtifact, ResourceNotFound) as error:
            _log.warning("table_not_maintained", location=table.location, cause=error.message)

    def _leftovers(self, location: str, retention_hours: int) -> Iterator[str]:
        """Yield the old objects of an artifact's folder that are not of the published artifact."""
        published = {MANIFEST}
        try:
            published.add(read_manifest(self._store, location).files_folder)
        except ResourceNotFound:
            pass  # nothing was published
        except CorruptArtifact as error:
            _log.warning("artifact_not_maintained", location=location, cause=error.message)
            return
        before = self._clock.now() - timedelta(hours=retention_hours)
        for item in self._store.list(location):
            name = PurePosixPath(item.path).relative_to(location).parts[0]
            if name not in published and item.modified < before:
                yield item.path
