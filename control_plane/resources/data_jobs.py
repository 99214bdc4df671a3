"""Operations on jobs that take data out: dataset export jobs, and data deletion jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.errors import invalid
from control_plane.domain.fields import check_name, check_role, check_tags
from control_plane.domain.imports import check_data_location, check_output_location
from control_plane.domain.schemas import DatasetType
from control_plane.domain.states import CREATING, Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import DataDeletionJob, Dataset, DatasetExportJob, DatasetGroup
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    require_active,
)
from control_plane.resources.datasets import dataset_table
from control_plane.resources.ledger import deletion_location
from protos.tailorbird.control.v1.common_pb2 import IngestionMode
from protos.tailorbird.control.v1.dataset_export_job_pb2 import DatasetExportJobOutput
from protos.tailorbird.internal.v1.jobs_pb2 import DataDeletionPayload, DatasetExportPayload

__all__ = ["OF_USERS", "DeletionJobs", "ExportJobs"]

Tags = Sequence[tuple[str, str]]
#: The datasets whose rows have a user.
OF_USERS: Final = frozenset({DatasetType.INTERACTIONS, DatasetType.USERS, DatasetType.ACTION_INTERACTIONS})


class ExportJobs(ResourceOperations):
    """Operations on dataset export jobs."""

    def create(
        self,
        unit: Unit,
        job_name: str,
        *,
        dataset_arn: str,
        role_arn: str,
        job_output: DatasetExportJobOutput,
        ingestion_mode: str | None = None,
        tags: Tags = (),
    ) -> DatasetExportJob:
        """Submit a job that writes the rows of a dataset to files.

        Raises:
            InvalidInput: A field is malformed.
            ResourceNotFound: The dataset does not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The dataset is not ACTIVE.
            LimitExceeded: As many exports wait or run as the quota allows.
        """
        check_name("jobName", job_name)
        check_role("roleArn", role_arn)
        check_output_location(job_output.s3_data_destination.path, field="jobOutput.s3DataDestination.path")
        checked_tags = check_tags(tags)
        dataset = fetch(unit, Dataset, dataset_arn, field="datasetArn", kind="dataset")
        require_active(dataset.status, dataset_arn, field="datasetArn")
        now = self._now()
        row = DatasetExportJob(
            arn=self._arn(unit, "dataset-export-job", job_name),
            job_name=job_name,
            dataset_arn=dataset.arn,
            # Personalize's default is not everything, but what was sent record by record.
            ingestion_mode=ingestion_mode or "PUT",
            role_arn=role_arn,
            job_output=job_output,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row, tags=checked_tags)
        self._check_quota(unit, "pending_exports", DatasetExportJob, status=CREATING)
        payload = DatasetExportPayload(
            table=dataset_table(unit, dataset),
            ingestion_mode=IngestionMode.Value(f"INGESTION_MODE_{row.ingestion_mode}"),
            output_location=job_output.s3_data_destination.path,
            job_name=job_name,
        )
        enqueue(unit, self._app_context, payload, subject=row.arn, group_arn=dataset.dataset_group_arn)
        return row

    def describe(self, unit: Unit, arn: str) -> DatasetExportJob:
        """Return an export job; errors as of `fetch`."""
        return fetch(unit, DatasetExportJob, arn, field="datasetExportJobArn", kind="dataset-export-job")

    def list(self, unit: Unit, request: PageRequest, *, dataset_arn: str | None) -> Page[DatasetExportJob]:
        """Return a page of the export jobs of a dataset, or of all."""
        return list_page(unit, DatasetExportJob, request, filters={"dataset_arn": dataset_arn})


class DeletionJobs(ResourceOperations):
    """Operations on data deletion jobs."""

    def create(
        self,
        unit: Unit,
        job_name: str,
        *,
        dataset_group_arn: str,
        role_arn: str,
        data_location: str,
        tags: Tags = (),
    ) -> DataDeletionJob:
        """Submit a job that deletes all data of the users in files from the datasets and models of a group.

        Raises:
            InvalidInput: A field is malformed, or the group has no dataset.
            ResourceNotFound: The group does not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: As many of the group's deletion jobs wait as the quota allows.
        """
        check_name("jobName", job_name)
        check_role("roleArn", role_arn)
        check_data_location(data_location)
        checked_tags = check_tags(tags)
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        datasets = unit.find(Dataset, dataset_group_arn=group.arn, status=Status.ACTIVE, order=["dataset_type"])
        if not datasets:
            raise invalid("datasetGroupArn", got=group.arn, want="a group with datasets to delete from")
        now = self._now()
        row = DataDeletionJob(
            arn=self._arn(unit, "data-deletion-job", job_name),
            job_name=job_name,
            dataset_group_arn=group.arn,
            data_location=data_location,
            role_arn=role_arn,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row, tags=checked_tags)
        self._check_quota(
            unit, "pending_deletions_per_group", DataDeletionJob, dataset_group_arn=group.arn, status=Status.PENDING
        )
        tables = [dataset_table(unit, dataset) for dataset in datasets if dataset.dataset_type in OF_USERS]
        payload = DataDeletionPayload(
            dataset_group_arn=group.arn,
            tables=tables,
            data_location=data_location,
            location=deletion_location(row, datasets[0].location),
        )
        enqueue(unit, self._app_context, payload, subject=row.arn, group_arn=group.arn)
        return row

    def describe(self, unit: Unit, arn: str) -> DataDeletionJob:
        """Return a deletion job; errors as of `fetch`."""
        return fetch(unit, DataDeletionJob, arn, field="dataDeletionJobArn", kind="data-deletion-job")

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[DataDeletionJob]:
        """Return a page of the deletion jobs of a group, or of all, newest first."""
        filters = {"dataset_group_arn": dataset_group_arn}
        return list_page(unit, DataDeletionJob, request, filters=filters, newest_first=True)
