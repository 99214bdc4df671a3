"""Finishes the deletion of datasets and solutions, when a trainer has removed what they kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import invalid
from common.logs import get_logger
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetImportJob, Job, Solution, SolutionVersion
from control_plane.resources.base import remove

__all__ = ["RemovalListener"]

_log = get_logger(__name__)


class RemovalListener:
    """Removes the rows of deleted datasets and solutions, after their folders in the store."""

    work = "removal of stored data"

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status to DELETE IN_PROGRESS."""
        if (row := self._resource(unit, job)) is not None:
            row.status = Status.DELETE_IN_PROGRESS

    def succeeded(self, unit: Unit, job: Job, result: Mapping[str, Any]) -> None:  # noqa: ARG002 - the port's signature
        """Remove the resource, and the versions or import jobs that belong to it."""
        row = self._resource(unit, job)
        if isinstance(row, Solution):
            for version in unit.find(SolutionVersion, solution_arn=row.arn):
                remove(unit, version)
        if isinstance(row, Dataset):
            for import_job in unit.find(DatasetImportJob, dataset_arn=row.arn):
                remove(unit, import_job)
        if row is not None:
            remove(unit, row)

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Remove the resource although folders may be left in the store; the log names them for the operator."""
        _log.error("storage_left_behind", resource_arn=job.subject, folders=job.payload["locations"], reason=reason)
        self.succeeded(unit, job, {})

    def stopped(self, unit: Unit, job: Job) -> None:  # noqa: ARG002 - the port's signature
        """Raise InvalidInput: the API has no operation that stops a deletion."""
        raise invalid("job", got=job.id, want="a job that can be stopped")

    @staticmethod
    def _resource(unit: Unit, job: Job) -> Dataset | Solution | None:
        return unit.get(Dataset, job.subject) or unit.get(Solution, job.subject)
