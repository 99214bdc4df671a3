"""Operations on batch inference jobs and batch segment jobs."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import BatchInferenceJob, BatchSegmentJob
from control_plane.servicers.control.messages import enum_value, job_members
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import batch_inference_job_pb2, batch_segment_job_pb2

__all__ = ["BatchInferenceJobMethods", "BatchSegmentJobMethods"]

_MODE = batch_inference_job_pb2.BatchInferenceJobMode.DESCRIPTOR


class BatchInferenceJobMethods(Methods):
    """Batch inference jobs."""

    def CreateBatchInferenceJob(
        self, request: batch_inference_job_pb2.CreateBatchInferenceJobRequest, context: Context
    ) -> batch_inference_job_pb2.CreateBatchInferenceJobResponse:
        """Ask for recommendations for many users or items."""
        _require_members(request)
        job = self._transact(
            request, lambda unit: self._resources.batch_inference.create(unit, request, tags=tags_of(request))
        )
        return batch_inference_job_pb2.CreateBatchInferenceJobResponse(batch_inference_job_arn=job.arn)

    def DescribeBatchInferenceJob(
        self, request: batch_inference_job_pb2.DescribeBatchInferenceJobRequest, context: Context
    ) -> batch_inference_job_pb2.DescribeBatchInferenceJobResponse:
        """Describe a batch inference job."""
        arn = required("batchInferenceJobArn", request.batch_inference_job_arn)
        job = self._view(request, lambda unit: self._resources.batch_inference.describe(unit, arn))
        return batch_inference_job_pb2.DescribeBatchInferenceJobResponse(
            batch_inference_job=batch_inference_job_pb2.BatchInferenceJob(
                **job_members(job),
                batch_inference_job_arn=job.arn,
                filter_arn=job.filter_arn,
                solution_version_arn=job.solution_version_arn,
                num_results=job.num_results,
                job_input=job.job_input,
                job_output=job.job_output,
                batch_inference_job_config=job.batch_inference_job_config,
                role_arn=job.role_arn,
                batch_inference_job_mode=enum_value(_MODE, job.batch_inference_job_mode),
                theme_generation_config=job.theme_generation_config,
            )
        )

    def ListBatchInferenceJobs(
        self, request: batch_inference_job_pb2.ListBatchInferenceJobsRequest, context: Context
    ) -> batch_inference_job_pb2.ListBatchInferenceJobsResponse:
        """List batch inference jobs."""
        version = optional(request, "solution_version_arn")
        page = self._view(
            request,
            lambda unit: self._resources.batch_inference.list(
                unit, page_request(request), solution_version_arn=version
            ),
        )
        return batch_inference_job_pb2.ListBatchInferenceJobsResponse(
            batch_inference_jobs=[_inference_summary(job) for job in page.items], next_token=page.next_token
        )


class BatchSegmentJobMethods(Methods):
    """Batch segment jobs."""

    def CreateBatchSegmentJob(
        self, request: batch_segment_job_pb2.CreateBatchSegmentJobRequest, context: Context
    ) -> batch_segment_job_pb2.CreateBatchSegmentJobResponse:
        """Ask for the users for many items or attributes."""
        _require_members(request)
        job = self._transact(
            request, lambda unit: self._resources.batch_segments.create(unit, request, tags=tags_of(request))
        )
        return batch_segment_job_pb2.CreateBatchSegmentJobResponse(batch_segment_job_arn=job.arn)

    def DescribeBatchSegmentJob(
        self, request: batch_segment_job_pb2.DescribeBatchSegmentJobRequest, context: Context
    ) -> batch_segment_job_pb2.DescribeBatchSegmentJobResponse:
        """Describe a batch segment job."""
        arn = required("batchSegmentJobArn", request.batch_segment_job_arn)
        job = self._view(request, lambda unit: self._resources.batch_segments.describe(unit, arn))
        return batch_segment_job_pb2.DescribeBatchSegmentJobResponse(
            batch_segment_job=batch_segment_job_pb2.BatchSegmentJob(
                **job_members(job),
                batch_segment_job_arn=job.arn,
                filter_arn=job.filter_arn,
                solution_version_arn=job.solution_version_arn,
                num_results=job.num_results,
                job_input=job.job_input,
                job_output=job.job_output,
                role_arn=job.role_arn,
            )
        )

    def ListBatchSegmentJobs(
        self, request: batch_segment_job_pb2.ListBatchSegmentJobsRequest, context: Context
    ) -> batch_segment_job_pb2.ListBatchSegmentJobsResponse:
        """List batch segment jobs."""
        version = optional(request, "solution_version_arn")
        page = self._view(
            request,
            lambda unit: self._resources.batch_segments.list(unit, page_request(request), solution_version_arn=version),
        )
        return batch_segment_job_pb2.ListBatchSegmentJobsResponse(
            batch_segment_jobs=[_segment_summary(job) for job in page.items], next_token=page.next_token
        )


def _require_members(
    request: batch_inference_job_pb2.CreateBatchInferenceJobRequest
    | batch_segment_job_pb2.CreateBatchSegmentJobRequest,
) -> None:
    required("jobName", request.job_name)
    required("solutionVersionArn", request.solution_version_arn)
    required("jobInput.s3DataSource.path", request.job_input.s3_data_source.path)
    required("jobOutput.s3DataDestination.path", request.job_output.s3_data_destination.path)
    required("roleArn", request.role_arn)


def _inference_summary(job: BatchInferenceJob) -> batch_inference_job_pb2.BatchInferenceJobSummary:
    return batch_inference_job_pb2.BatchInferenceJobSummary(
        **job_members(job),
        batch_inference_job_arn=job.arn,
        solution_version_arn=job.solution_version_arn,
        batch_inference_job_mode=enum_value(_MODE, job.batch_inference_job_mode),
    )


def _segment_summary(job: BatchSegmentJob) -> batch_segment_job_pb2.BatchSegmentJobSummary:
    return batch_segment_job_pb2.BatchSegmentJobSummary(
        **job_members(job),
        batch_segment_job_arn=job.arn,
        solution_version_arn=job.solution_version_arn,
    )
