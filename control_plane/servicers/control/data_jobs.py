"""Operations on jobs that bring data in: dataset import jobs."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import DatasetImportJob
from control_plane.servicers.control.messages import enum_text, enum_value, status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import common_pb2, dataset_import_job_pb2

__all__ = ["ImportJobMethods"]

_IMPORT_MODE = common_pb2.ImportMode.DESCRIPTOR


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
                job_name=job.job_name,
                dataset_import_job_arn=job.arn,
                dataset_arn=job.dataset_arn,
                data_source=common_pb2.DataSource(data_location=job.data_location),
                role_arn=job.role_arn,
                status=status(job.status),
                creation_date_time=timestamp(job.creation_date_time),
                last_updated_date_time=timestamp(job.last_updated_date_time),
                failure_reason=job.failure_reason,
                import_mode=enum_value(_IMPORT_MODE, job.import_mode),
                publish_attribution_metrics_to_s3=False,
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


def _import_summary(job: DatasetImportJob) -> dataset_import_job_pb2.DatasetImportJobSummary:
    return dataset_import_job_pb2.DatasetImportJobSummary(
        dataset_import_job_arn=job.arn,
        job_name=job.job_name,
        status=status(job.status),
        creation_date_time=timestamp(job.creation_date_time),
        last_updated_date_time=timestamp(job.last_updated_date_time),
        failure_reason=job.failure_reason,
        import_mode=enum_value(_IMPORT_MODE, job.import_mode),
    )
