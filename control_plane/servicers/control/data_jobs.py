"""Operations on jobs that move data: dataset import jobs, dataset export jobs, data deletion jobs."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import DataDeletionJob, DatasetExportJob, DatasetImportJob
from control_plane.servicers.control.messages import enum_text, enum_value, job_members
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import (
    common_pb2,
    data_deletion_job_pb2,
    dataset_export_job_pb2,
    dataset_import_job_pb2,
)

__all__ = ["DeletionJobMethods", "ExportJobMethods", "ImportJobMethods"]

_IMPORT_MODE = common_pb2.ImportMode.DESCRIPTOR
_INGESTION_MODE = common_pb2.IngestionMode.DESCRIPTOR


class ImportJobMethods(Methods):
    """Dataset import jobs."""

    def CreateDatasetImportJob(
        self, request: dataset_import_job_pb2.CreateDatasetImportJobRequest, context: Context
    ) -> dataset_import_job_pb2.CreateDatasetImportJobResponse:
        """Ask for files to be imported."""
        job = self._transact(
            request,
            lambda unit: self._resources.imports.create(
                unit,
                required("jobName", request.job_name),
                dataset_arn=required("datasetArn", request.dataset_arn),
                data_location=required("dataSource.dataLocation", request.data_source.data_location),
                role_arn=optional(request, "role_arn"),
                import_mode=enum_text(_IMPORT_MODE, request.import_mode),
                publish_attribution_metrics=request.publish_attribution_metrics_to_s3,
                tags=tags_of(request),
            ),
        )
        return dataset_import_job_pb2.CreateDatasetImportJobResponse(dataset_import_job_arn=job.arn)

    def DescribeDatasetImportJob(
        self, request: dataset_import_job_pb2.DescribeDatasetImportJobRequest, context: Context
    ) -> dataset_import_job_pb2.DescribeDatasetImportJobResponse:
        """Describe an import job."""
        arn = required("datasetImportJobArn", request.dataset_import_job_arn)
        job = self._view(request, lambda unit: self._resources.imports.describe(unit, arn))
        return dataset_import_job_pb2.DescribeDatasetImportJobResponse(
            dataset_import_job=dataset_import_job_pb2.DatasetImportJob(
                **job_members(job),
                dataset_import_job_arn=job.arn,
                dataset_arn=job.dataset_arn,
                data_source=common_pb2.DataSource(data_location=job.data_location),
                role_arn=job.role_arn,
                import_mode=enum_value(_IMPORT_MODE, job.import_mode),
                publish_attribution_metrics_to_s3=job.publish_attribution_metrics,
            )
        )

    def ListDatasetImportJobs(
        self, request: dataset_import_job_pb2.ListDatasetImportJobsRequest, context: Context
    ) -> dataset_import_job_pb2.ListDatasetImportJobsResponse:
        """List import jobs."""
        dataset = optional(request, "dataset_arn")
        page = self._view(
            request, lambda unit: self._resources.imports.list(unit, page_request(request), dataset_arn=dataset)
        )
        return dataset_import_job_pb2.ListDatasetImportJobsResponse(
            dataset_import_jobs=[_import_summary(job) for job in page.items], next_token=page.next_token
        )


class ExportJobMethods(Methods):
    """Dataset export jobs."""

    def CreateDatasetExportJob(
        self, request: dataset_export_job_pb2.CreateDatasetExportJobRequest, context: Context
    ) -> dataset_export_job_pb2.CreateDatasetExportJobResponse:
        """Ask for a dataset to be written to files."""
        required("jobOutput.s3DataDestination.path", request.job_output.s3_data_destination.path)
        job = self._transact(
            request,
            lambda unit: self._resources.exports.create(
                unit,
                required("jobName", request.job_name),
                dataset_arn=required("datasetArn", request.dataset_arn),
                role_arn=required("roleArn", request.role_arn),
                job_output=request.job_output,
                ingestion_mode=enum_text(_INGESTION_MODE, request.ingestion_mode),
                tags=tags_of(request),
            ),
        )
        return dataset_export_job_pb2.CreateDatasetExportJobResponse(dataset_export_job_arn=job.arn)

    def DescribeDatasetExportJob(
        self, request: dataset_export_job_pb2.DescribeDatasetExportJobRequest, context: Context
    ) -> dataset_export_job_pb2.DescribeDatasetExportJobResponse:
        """Describe an export job."""
        arn = required("datasetExportJobArn", request.dataset_export_job_arn)
        job = self._view(request, lambda unit: self._resources.exports.describe(unit, arn))
        return dataset_export_job_pb2.DescribeDatasetExportJobResponse(
            dataset_export_job=dataset_export_job_pb2.DatasetExportJob(
                **job_members(job),
                dataset_export_job_arn=job.arn,
                dataset_arn=job.dataset_arn,
                ingestion_mode=enum_value(_INGESTION_MODE, job.ingestion_mode),
                role_arn=job.role_arn,
                job_output=job.job_output,
            )
        )

    def ListDatasetExportJobs(
        self, request: dataset_export_job_pb2.ListDatasetExportJobsRequest, context: Context
    ) -> dataset_export_job_pb2.ListDatasetExportJobsResponse:
        """List export jobs."""
        dataset = optional(request, "dataset_arn")
        page = self._view(
            request, lambda unit: self._resources.exports.list(unit, page_request(request), dataset_arn=dataset)
        )
        return dataset_export_job_pb2.ListDatasetExportJobsResponse(
            dataset_export_jobs=[_export_summary(job) for job in page.items], next_token=page.next_token
        )


class DeletionJobMethods(Methods):
    """Data deletion jobs."""

    def CreateDataDeletionJob(
        self, request: data_deletion_job_pb2.CreateDataDeletionJobRequest, context: Context
    ) -> data_deletion_job_pb2.CreateDataDeletionJobResponse:
        """Ask for all data of some users to be deleted."""
        job = self._transact(
            request,
            lambda unit: self._resources.deletions.create(
                unit,
                required("jobName", request.job_name),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                role_arn=required("roleArn", request.role_arn),
                data_location=required("dataSource.dataLocation", request.data_source.data_location),
                tags=tags_of(request),
            ),
        )
        return data_deletion_job_pb2.CreateDataDeletionJobResponse(data_deletion_job_arn=job.arn)

    def DescribeDataDeletionJob(
        self, request: data_deletion_job_pb2.DescribeDataDeletionJobRequest, context: Context
    ) -> data_deletion_job_pb2.DescribeDataDeletionJobResponse:
        """Describe a deletion job."""
        arn = required("dataDeletionJobArn", request.data_deletion_job_arn)
        job = self._view(request, lambda unit: self._resources.deletions.describe(unit, arn))
        return data_deletion_job_pb2.DescribeDataDeletionJobResponse(
            data_deletion_job=data_deletion_job_pb2.DataDeletionJob(
                **job_members(job),
                data_deletion_job_arn=job.arn,
                dataset_group_arn=job.dataset_group_arn,
                data_source=common_pb2.DataSource(data_location=job.data_location),
                role_arn=job.role_arn,
                num_deleted=job.num_deleted,
            )
        )

    def ListDataDeletionJobs(
        self, request: data_deletion_job_pb2.ListDataDeletionJobsRequest, context: Context
    ) -> data_deletion_job_pb2.ListDataDeletionJobsResponse:
        """List deletion jobs, newest first."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request, lambda unit: self._resources.deletions.list(unit, page_request(request), dataset_group_arn=group)
        )
        return data_deletion_job_pb2.ListDataDeletionJobsResponse(
            data_deletion_jobs=[_deletion_summary(job) for job in page.items], next_token=page.next_token
        )


def _import_summary(job: DatasetImportJob) -> dataset_import_job_pb2.DatasetImportJobSummary:
    return dataset_import_job_pb2.DatasetImportJobSummary(
        **job_members(job),
        dataset_import_job_arn=job.arn,
        import_mode=enum_value(_IMPORT_MODE, job.import_mode),
    )


def _export_summary(job: DatasetExportJob) -> dataset_export_job_pb2.DatasetExportJobSummary:
    return dataset_export_job_pb2.DatasetExportJobSummary(
        **job_members(job),
        dataset_export_job_arn=job.arn,
    )


def _deletion_summary(job: DataDeletionJob) -> data_deletion_job_pb2.DataDeletionJobSummary:
    return data_deletion_job_pb2.DataDeletionJobSummary(
        **job_members(job),
        data_deletion_job_arn=job.arn,
        dataset_group_arn=job.dataset_group_arn,
    )
