"""Searches for a user in everything that is kept of a dataset group: trainers do them, since they reach the store."""

from __future__ import annotations

from typing import Final

from common.deletions import id_digest
from common.errors import LimitExceeded, invalid
from control_plane.domain.states import CREATING
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import DataDeletionJob, Dataset, DatasetGroup, RuntimeWorker, UserSearch
from control_plane.resources.base import ResourceOperations, fetch, insert, remove
from control_plane.resources.data_jobs import OF_USERS
from control_plane.resources.datasets import dataset_table
from control_plane.resources.ledger import deletion_location
from protos.tailorbird.internal.v1.jobs_pb2 import UserSearchPayload

__all__ = ["UserSearches"]

_KIND: Final = "user-search"
_MAX_ID: Final = 256
#: Searches of one group that wait or run, and that are kept when they have ended.
_MAX_WAITING: Final = 5
_KEPT: Final = 20


class UserSearches(ResourceOperations):
    """Operations on searches for users. The ids are kept nowhere: a job has a digest until it has ended."""

    def create(
        self, unit: Unit, user_id: str, *, dataset_group_arn: str | None, data_deletion_job_arn: str | None
    ) -> UserSearch:
        """Submit a search.

        Args:
            unit: A writing unit of work.
            user_id: The user.
            dataset_group_arn: The group; None for that of the deletion.
            data_deletion_job_arn: The one deletion to be told of; None for all.

        Raises:
            InvalidInput: A field is malformed, neither group nor deletion is named, or the deletion is another group's.
            ResourceNotFound: Group or deletion do not exist.
            LimitExceeded: As many searches of the group wait or run as may.
        """
        if not 1 <= len(user_id) <= _MAX_ID:
            raise invalid("userId", got=f"{len(user_id)} characters", want=f"1 to {_MAX_ID}")
        deletion = None
        if data_deletion_job_arn is not None:
            deletion = fetch(
                unit, DataDeletionJob, data_deletion_job_arn, field="dataDeletionJobArn", kind="data-deletion-job"
            )
        group_arn = dataset_group_arn or (deletion.dataset_group_arn if deletion else "")
        group = fetch(unit, DatasetGroup, group_arn, field="datasetGroupArn", kind="dataset-group")
        if deletion is not None and deletion.dataset_group_arn != group.arn:
            raise invalid("dataDeletionJobArn", got=deletion.arn, want=f"a deletion of {group.arn}")
        self._make_room(unit, group)
        now = self._now()
        row = UserSearch(
            arn=self._arn(unit, _KIND, self._app_context.new_id()),
            dataset_group_arn=group.arn,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row)
        payload = self._payload(unit, group, deletion, user_id)
        enqueue(unit, self._app_context, payload, subject=row.arn, group_arn=group.arn)
        return row

    def describe(self, unit: Unit, arn: str) -> tuple[UserSearch, list[str]]:
        """Return a search, and the ids of the runtime workers there are; errors as of `fetch`."""
        search = fetch(unit, UserSearch, arn, field="userSearchArn", kind=_KIND)
        return search, [worker.runtime_id for worker in unit.find(RuntimeWorker, order=["runtime_id"])]

    @staticmethod
    def _make_room(unit: Unit, group: DatasetGroup) -> None:
        searches = unit.find(UserSearch, dataset_group_arn=group.arn, order=["-creation_date_time", "-arn"])
        unfinished = sum(search.status in CREATING for search in searches)
        if unfinished >= _MAX_WAITING:
            raise LimitExceeded(f"`datasetGroupArn`: got {unfinished} searches that wait or run, want fewer; try later")
        for search in [search for search in searches if search.status not in CREATING][_KEPT - 1 :]:
            remove(unit, search)

    @staticmethod
    def _payload(unit: Unit, group: DatasetGroup, deletion: DataDeletionJob | None, user_id: str) -> UserSearchPayload:
        location = f"datasets/{unit.account}/{group.name}"
        # In every state: one that is being deleted has rows, too.
        datasets = unit.find(Dataset, dataset_group_arn=group.arn, order=["dataset_type"])
        return UserSearchPayload(
            group_location=location,
            tables=[dataset_table(unit, dataset) for dataset in datasets if dataset.dataset_type in OF_USERS],
            user=id_digest(user_id),
            deletion_location=deletion_location(deletion, f"{location}/-") if deletion else None,
        )
