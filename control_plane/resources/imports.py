"""Operations on dataset import jobs."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.fields import check_name, check_role, check_tags
from control_plane.domain.imports import ImportMode, check_data_location, check_import_mode
from control_plane.domain.schemas import DatasetType
from control_plane.domain.states import CREATING, Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetImportJob, MetricAttribution
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
from control_plane.tracking.trackers import tracked_attribution
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetImportPayload, TrackedAttribution

__all__ = ["ImportJobs"]

_KIND = "dataset-import-job"


class ImportJobs(ResourceOperations):
    """Operations on dataset import jobs."""

    def create(
        self,
        unit: Unit,
        job_name: str,
        *,
        dataset_arn: str,
        data_location: str,
        role_arn: str | None = None,
        import_mode: str | None = None,
        publish_attribution_metrics: bool = False,
        tags: Sequence[tuple[str, str]] = (),
    ) -> DatasetImportJob:
        """Submit a job that imports files into a dataset.

        Attribution metrics are published of interactions, if their group has a metric attribution with an output path;
        otherwise to ask for them changes nothing.

        Raises:
            InvalidInput: A field is malformed, or the first import into the dataset is INCREMENTAL.
            ResourceNotFound: The dataset does not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The dataset is not ACTIVE.
            LimitExceeded: As many imports wait or run as the quota allows.
        """
        check_name("jobName", job_name)
        check_data_location(data_location)
        if role_arn is not None:
            check_role("roleArn", role_arn)
        checked_tags = check_tags(tags)
        now = self._now()
        dataset = fetch(unit, Dataset, dataset_arn, field="datasetArn", kind="dataset")
        require_active(dataset.status, dataset_arn, field="datasetArn")
        completed_import = unit.first(DatasetImportJob, dataset_arn=dataset_arn, status=Status.ACTIVE)
        mode = check_import_mode(import_mode, imported_before=completed_import is not None)
        row = DatasetImportJob(
            arn=self._arn(unit, _KIND, job_name),
            job_name=job_name,
            dataset_arn=dataset_arn,
            data_location=data_location,
            role_arn=role_arn,
            import_mode=mode,
            publish_attribution_metrics=publish_attribution_metrics,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row, tags=checked_tags)
        self._check_quota(unit, "pending_imports", DatasetImportJob, status=CREATING)
        payload = DatasetImportPayload(
            table=dataset_table(unit, dataset),
            data_location=data_location,
            replace=mode is ImportMode.FULL,
            import_id=self._app_context.new_id(),
            attribution=_attribution(unit, dataset) if publish_attribution_metrics else None,
            job_name=job_name,
        )
        payload.requested_at.FromDatetime(now)
        enqueue(unit, self._app_context, payload, subject=row.arn, group_arn=dataset.dataset_group_arn)
        return row

    def describe(self, unit: Unit, arn: str) -> DatasetImportJob:
        """Return an import job; errors as of `fetch`."""
        return fetch(unit, DatasetImportJob, arn, field="datasetImportJobArn", kind=_KIND)

    def list(self, unit: Unit, request: PageRequest, *, dataset_arn: str | None) -> Page[DatasetImportJob]:
        """Return a page of the import jobs of a dataset, or of all."""
        return list_page(unit, DatasetImportJob, request, filters={"dataset_arn": dataset_arn})


def _attribution(unit: Unit, dataset: Dataset) -> TrackedAttribution | None:
    """Return what is counted of the rows of a dataset for a report; None where none is written."""
    if dataset.dataset_type != DatasetType.INTERACTIONS:
        return None
    row = unit.first(MetricAttribution, dataset_group_arn=dataset.dataset_group_arn, status=Status.ACTIVE)
    attribution = None if row is None else tracked_attribution(unit, row)
    return attribution if attribution is not None and attribution.output_path else None
