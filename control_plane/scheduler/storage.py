"""Lets the storage of dataset groups be maintained from time to time, each by a job while nothing else works on it.

A group with jobs that wait or run is passed over for a while: compaction is in no import's way, and what a training or
an export has begun to read stays. Retention keeps the files of jobs that begin meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED
from control_plane.domain.states import Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Dataset, DatasetGroup, Job, SolutionVersion
from protos.tailorbird.internal.v1.jobs_pb2 import StorageMaintenancePayload

__all__ = ["StorageScheduler"]

#: Groups that are looked at in one round; the others follow in the next.
_MAX_GROUPS: Final = 20
#: When a group is looked at again that had jobs.
_RETRY: Final = timedelta(minutes=15)
#: Artifacts that one job looks through, those of the newest trainings: older ones were looked through before.
_MAX_VERSIONS: Final = 200
#: States in which nobody writes the artifact of a training any more.
_ENDED: Final = frozenset({Status.ACTIVE, Status.CREATE_FAILED, Status.CREATE_STOPPED})


class StorageScheduler:
    """Submits the jobs that are due.

    Several control planes may have one each: a job is submitted by the unit of work that moves its group's time on.

    Args:
        metadata_store: The database.
        app_context: Clock and ids.
        every_hours: Time between two jobs of one group.
        retention_hours: How long files stay that nothing names any more.
    """

    def __init__(
        self, metadata_store: MetadataStore, app_context: AppContext, *, every_hours: float, retention_hours: int
    ) -> None:
        self._metadata_store = metadata_store
        self._app_context = app_context
        self._every = timedelta(hours=every_hours)
        self._retention_hours = retention_hours

    def run_due(self) -> None:
        """Submit what is due, a bounded number of jobs at once; when nothing is, nothing is written."""
        now = self._app_context.clock.now()
        due = self._metadata_store.view(
            lambda unit: [
                *unit.due_groups(now=now, limit=_MAX_GROUPS),
                *unit.find(DatasetGroup, maintenance_due_at=None, limit=_MAX_GROUPS),
            ]
        )
        for group in due:
            self._metadata_store.transact(partial(self._run, arn=group.arn))

    def _run(self, unit: Unit, *, arn: str) -> None:
        """Submit the job of one group, unless another control plane was faster or the group is gone."""
        now = self._app_context.clock.now()
        group = unit.get(DatasetGroup, arn)
        if group is None:
            return
        if group.maintenance_due_at is None:
            group.maintenance_due_at = now + self._every
        elif group.maintenance_due_at <= now:
            if unit.first(Job, dataset_group_arn=arn, state=UNFINISHED) is not None:
                group.maintenance_due_at = now + min(_RETRY, self._every)
                return
            group.maintenance_due_at = now + self._every
            payload = self._payload(unit, arn)
            if payload.table_locations or payload.artifact_locations:
                enqueue(unit, self._app_context, payload, subject=arn, group_arn=arn)

    def _payload(self, unit: Unit, arn: str) -> StorageMaintenancePayload:
        versions = unit.find(
            SolutionVersion, dataset_group_arn=arn, status=_ENDED, order=["-creation_date_time"], limit=_MAX_VERSIONS
        )
        datasets = unit.find(Dataset, dataset_group_arn=arn, status=Status.ACTIVE, order=["dataset_type"])
        return StorageMaintenancePayload(
            table_locations=[dataset.location for dataset in datasets],
            artifact_locations=[version.artifact_location for version in versions],
            retention_hours=self._retention_hours,
        )
