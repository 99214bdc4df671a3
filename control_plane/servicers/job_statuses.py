"""JobStatusService: Tailorbird's own operations that show what trainers work on."""

from __future__ import annotations

import grpc

from control_plane.domain.jobs import JobState
from control_plane.jobs.progress import job_progress
from control_plane.metadata_store import MetadataStore
from control_plane.resources.job_statuses import JobStatuses, ListedJob
from control_plane.servicers.control.messages import timestamp
from control_plane.servicers.control.methods import AccountMethods, optional
from protos.tailorbird.control.v1 import job_status_service_pb2, job_status_service_pb2_grpc

__all__ = ["JOB_STATUS_SERVICE", "JobStatusServicer"]

JOB_STATUS_SERVICE = job_status_service_pb2.DESCRIPTOR.services_by_name["JobStatusService"]


class JobStatusServicer(AccountMethods, job_status_service_pb2_grpc.JobStatusServiceServicer):
    """Turns calls of clients and operators into lists of jobs.

    Args:
        metadata_store: The database of the jobs.
        statuses: Lists them.
    """

    def __init__(self, metadata_store: MetadataStore, statuses: JobStatuses) -> None:
        super().__init__(metadata_store)
        self._statuses = statuses

    def ListJobs(
        self, request: job_status_service_pb2.ListJobsRequest, context: grpc.ServicerContext
    ) -> job_status_service_pb2.ListJobsResponse:
        """List the jobs of the caller's account."""
        arn = optional(request, "resource_arn")
        listed = self._view(request, lambda unit: self._statuses.list(unit, resource_arn=arn, ended=request.ended))
        return job_status_service_pb2.ListJobsResponse(jobs=[_status(item) for item in listed])


def _status(item: ListedJob) -> job_status_service_pb2.JobStatus:
    job = item.job
    return job_status_service_pb2.JobStatus(
        job_id=job.id,
        kind=job.kind,
        state="RUNNING" if job.state == JobState.LEASED else job.state,
        resource_arn=job.subject,
        dataset_group_arn=job.dataset_group_arn,
        progress=job_progress(job),
        creation_date_time=timestamp(job.created_at),
        started_date_time=None if job.leased_at is None else timestamp(job.leased_at),
        ended_date_time=None if job.finished_at is None else timestamp(job.finished_at),
        stop_requested=job.stop_requested,
        failure_reason=item.failure_reason,
    )
