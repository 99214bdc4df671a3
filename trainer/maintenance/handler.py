"""Does storage maintenance jobs: puts tables in order, removes what is used no more, and counts what is left.

Everything has a bound, so that a group with very many files holds a trainer for minutes: what one job leaves the next
one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Final

from common.clock import Clock
from common.errors import CorruptArtifact, ResourceNotFound, invalid
from common.logs import get_logger
from common.storage import Store
from common.table_maintenance import MaintainedTable, MaintenanceBounds
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.maintenance import leftovers
from trainer.maintenance.usage import MAX_COUNTED, storage_usage
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["MAX_OBJECTS", "MaintenanceJobHandler"]

#: Objects that one job removes beside files of tables; the next goes on.
MAX_OBJECTS: Final = 10_000
_BOUNDS: Final = MaintenanceBounds()
_log = get_logger(__name__)


class MaintenanceJobHandler:
    """Puts the storage of a dataset group in order; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        workspace: Makes folders for files that are joined.
        clock: What ages are told by.
        bounds: What one job does to all tables together.
        max_objects: Objects that one job removes beside files of tables.
        max_counted: Objects that one job counts.
        monotonic: A clock, seconds.
    """

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        clock: Clock,
        *,
        bounds: MaintenanceBounds = _BOUNDS,
        max_objects: int = MAX_OBJECTS,
        max_counted: int = MAX_COUNTED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._clock = clock
        self._bounds = bounds
        self._max_objects = max_objects
        self._max_counted = max_counted
        self._monotonic = monotonic

    def run(
        self, payload: jobs_pb2.StorageMaintenancePayload, context: JobContext
    ) -> jobs_pb2.StorageMaintenanceResult:
        """Put each table of the payload in order, clean up, and count.

        Raises:
            InvalidInput: Files are to go at once.
            Unavailable: The store cannot be reached.
            JobCancelled: The job must end; what was put in order stays so.
        """
        if payload.retention_hours < 1:
            raise invalid("retention_hours", got=payload.retention_hours, want="1 or more")
        removed_files, is_complete = self._maintain_tables(payload, context)
        context.report(fraction=0.7, activity="looking for what is used no more")
        # One more than may go tells whether something is left for the next job.
        paths = list(islice(self._removable(payload, context), self._max_objects + 1))
        removable = paths[: self._max_objects]
        self._store.delete(removable)
        result = jobs_pb2.StorageMaintenanceResult(
            removed_objects=removed_files + len(removable),
            incomplete=not is_complete or len(paths) > len(removable),
        )
        if payload.group_folder:
            context.report(fraction=0.9, activity="counting what is left")
            context.check()
            usage = storage_usage(self._store, payload, self._clock, max_objects=self._max_counted)
            result.usage.CopyFrom(usage)
        return result

    def _maintain_tables(self, payload: jobs_pb2.StorageMaintenancePayload, context: JobContext) -> tuple[int, bool]:
        """Put tables in order; return how many of their files were removed, and whether all are in order.

        One that is empty or damaged is left to those who read it.
        """
        until, joined, removed, is_complete = self._monotonic() + self._bounds.seconds, 0, 0, True
        with self._workspace.folder() as folder:
            for place, location in enumerate(payload.table_locations):
                context.report(fraction=0.7 * place / len(payload.table_locations), activity=f"compacting {location}")
                context.check()
                bounds = replace(
                    self._bounds,
                    seconds=until - self._monotonic(),
                    bytes=self._bounds.bytes - joined,
                    removed_files=self._bounds.removed_files - removed,
                )
                try:
                    table = MaintainedTable(self._store, location)
                    maintained = table.maintain(
                        folder,
                        bounds=bounds,
                        retention_hours=payload.retention_hours,
                        check=context.check,
                        monotonic=self._monotonic,
                    )
                except ResourceNotFound:
                    continue  # nothing was written yet
                except CorruptArtifact as error:
                    _log.warning("table_not_maintained", location=location, cause=error.message)
                    continue
                joined, removed = joined + maintained.joined_bytes, removed + maintained.removed_files
                is_complete = is_complete and maintained.is_complete
                _log.info(
                    "table_maintained",
                    location=location,
                    version=maintained.version,
                    joined_files=maintained.joined_files,
                    removed_files=maintained.removed_files,
                )
        return removed, is_complete

    def _removable(self, payload: jobs_pb2.StorageMaintenancePayload, context: JobContext) -> Iterator[str]:
        """Yield the objects of the group, files of its tables aside, that may go."""
        before = self._clock.now() - timedelta(hours=payload.retention_hours)
        kinds: list[Iterable[str]] = [
            *(leftovers.unpublished(self._store, at, before=before) for at in payload.artifact_locations),
            *(leftovers.replaced_updates(self._store, updates, before=before) for updates in payload.updates),
        ]
        if payload.group_folder:
            kinds.append(leftovers.unfinished_deletions(self._store, payload.group_folder, before=before))
        if payload.report_hours:
            reported = self._clock.now() - timedelta(hours=payload.report_hours)
            kinds += (leftovers.old_reports(self._store, at, before=reported) for at in payload.table_locations)
        for paths in kinds:
            context.check()
            yield from paths
