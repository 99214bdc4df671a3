"""Lets the storage of dataset groups be maintained from time to time, each by a job while nothing else works on it.

Folders of deleted resources are removed once more two days later, and every day where that failed.

A group with jobs that wait or run is passed over for a while: compaction is in no import's way, and what a training or
an export has begun to read stays. Retention keeps the files of jobs that begin meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED, JobKind
from control_plane.jobs.listeners import REMOVED_AGAIN_AFTER
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import DatasetGroup, Job, RemovedFolder
from control_plane.resources.storage import Storage, is_named
from protos.tailorbird.internal.v1.jobs_pb2 import StorageRemovalPayload

__all__ = ["StorageScheduler"]

#: Groups that are looked at in one round; the others follow in the next.
_MAX_GROUPS: Final = 20
#: Folders of deleted resources, likewise.
_MAX_FOLDERS: Final = 100
#: When a group is looked at again that had jobs.
_RETRY: Final = timedelta(minutes=15)
#: The jobs that are waited for. Snapshots of features may follow each other for as long as rows are streamed.
_IN_THE_WAY: Final = frozenset(JobKind) - {JobKind.FEATURE_SNAPSHOT}


class StorageScheduler:
    """Submits the jobs that are due.

    Several control planes may have one each: a job is submitted by the unit of work that moves its group's time on.

    Args:
        metadata_store: The database.
        app_context: Clock and ids.
        storage: Submits the jobs.
        every_hours: Time between two jobs of one group.
    """

    def __init__(
        self, metadata_store: MetadataStore, app_context: AppContext, storage: Storage, *, every_hours: float
    ) -> None:
        self._metadata_store = metadata_store
        self._app_context = app_context
        self._clock = app_context.clock
        self._storage = storage
        self._every = timedelta(hours=every_hours)

    def run_due(self) -> None:
        """Submit what is due, a bounded number of jobs at once; when nothing is, nothing is written."""
        now = self._clock.now()
        due = self._metadata_store.view(
            lambda unit: [
                *unit.due_groups(now=now, limit=_MAX_GROUPS),
                *unit.find(DatasetGroup, maintenance_due_at=None, limit=_MAX_GROUPS),
            ]
        )
        for group in due:
            self._metadata_store.transact(partial(self._run, arn=group.arn))
        if self._metadata_store.view(self._due_folders):
            self._metadata_store.transact(self._remove_again)

    def _run(self, unit: Unit, *, arn: str) -> None:
        """Submit the job of one group, unless another control plane was faster or the group is gone."""
        now = self._clock.now()
        group = unit.get(DatasetGroup, arn)
        if group is None:
            return
        if group.maintenance_due_at is None:
            group.maintenance_due_at = now + self._every
        elif group.maintenance_due_at <= now:
            if unit.first(Job, dataset_group_arn=arn, kind=_IN_THE_WAY, state=UNFINISHED) is not None:
                group.maintenance_due_at = now + min(_RETRY, self._every)
                return
            group.maintenance_due_at = now + self._every
            self._storage.submit(unit, group)

    def _due_folders(self, unit: Unit) -> list[RemovedFolder]:
        # Where storage is maintained seldom, this is done as seldom.
        now, long_ago = self._clock.now(), self._clock.now() - self._every
        rows = unit.find(RemovedFolder, order=["due_at"], limit=_MAX_FOLDERS)
        return [row for row in rows if row.due_at <= now and row.deleted_at <= long_ago]

    def _remove_again(self, unit: Unit) -> None:
        """Submit the removal of folders whose resources are deleted; none that a resource names."""
        locations: dict[str | None, list[str]] = {}
        for folder in self._due_folders(unit):
            if is_named(unit, folder.location):
                unit.remove(folder)
                continue
            folder.due_at = self._clock.now() + REMOVED_AGAIN_AFTER
            locations.setdefault(folder.dataset_group_arn, []).append(folder.location)
        for group_arn, of_group in locations.items():
            payload = StorageRemovalPayload(locations=of_group)
            enqueue(unit, self._app_context, payload, subject=of_group[0], group_arn=group_arn or "")
