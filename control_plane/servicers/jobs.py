"""JobService: what trainers call."""

from __future__ import annotations

import math
from typing import Any

import grpc
import grpc.aio

from common.errors import invalid
from common.process.long_poll import LongPolls
from control_plane.domain.fields import required
from control_plane.domain.jobs import JobKind
from control_plane.jobs.payloads import read_payload
from control_plane.jobs.queue import JobQueue, Lease
from control_plane.jobs.registry import JOBS
from protos.tailorbird.internal.v1 import jobs_pb2, jobs_pb2_grpc

__all__ = ["JOB_SERVICE", "JobServicer", "wait_seconds"]

JOB_SERVICE = jobs_pb2.DESCRIPTOR.services_by_name["JobService"]

_NUMBERS = {kind: jobs_pb2.JobKind.Value(f"JOB_KIND_{kind}") for kind in JobKind}
_KINDS = {number: kind for kind, number in _NUMBERS.items()}
_MAX_WAIT_SECONDS = 60.0


def wait_seconds(value: float) -> float:
    """Return how long a call may wait.

    Raises:
        InvalidInput: Not from 0 to 60.
    """
    if not (math.isfinite(value) and 0 <= value <= _MAX_WAIT_SECONDS):
        raise invalid("wait_seconds", got=value, want=f"a number from 0 to {_MAX_WAIT_SECONDS:g}")
    return value


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Turns calls of trainers into calls of the job queue.

    Args:
        queue: The job queue.
        long_polls: Hold the calls of idle trainers.
    """

    def __init__(self, queue: JobQueue, long_polls: LongPolls) -> None:
        self._queue = queue
        self._long_polls = long_polls

    async def LeaseJob(
        self, request: jobs_pb2.LeaseJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> jobs_pb2.LeaseJobResponse:
        """Lease a job to a trainer; the response has none when none came in time."""
        worker_id = required("worker_id", request.worker_id)[:256]
        kinds = []
        for number in request.kinds:
            if number not in _KINDS:
                raise invalid("kinds", got=number, want=f"some of {', '.join(JobKind)}")
            kinds.append(_KINDS[number])
        seconds = wait_seconds(request.wait_seconds)
        lease = await self._long_polls.until(lambda: self._queue.lease(worker_id, kinds), seconds=seconds)
        return jobs_pb2.LeaseJobResponse(job=_job(lease) if lease is not None else None)

    def HeartbeatJob(
        self, request: jobs_pb2.HeartbeatJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.HeartbeatJobResponse:
        """Renew a lease."""
        renewal = self._queue.heartbeat(
            request.job_id,
            request.lease_token,
            progress=request.progress if request.HasField("progress") else None,
            activity=request.activity if request.HasField("activity") else None,
            training=request.training if request.HasField("training") else None,
        )
        response = jobs_pb2.HeartbeatJobResponse(stop_requested=renewal.stop_requested)
        response.lease_expires_at.FromDatetime(renewal.expires_at)
        return response

    def CompleteJob(
        self, request: jobs_pb2.CompleteJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.CompleteJobResponse:
        """End a job with its result."""
        member = request.WhichOneof("result")
        if member is None:
            raise invalid("result", got=None, want="the result of the job, or `stopped`")
        kind = None if member == "stopped" else JobKind(member.upper())
        self._queue.complete(request.job_id, request.lease_token, kind=kind, result=getattr(request, member))
        return jobs_pb2.CompleteJobResponse()

    def FailJob(self, request: jobs_pb2.FailJobRequest, context: grpc.ServicerContext) -> jobs_pb2.FailJobResponse:
        """End an attempt that did not succeed."""
        will_retry = self._queue.fail(
            request.job_id,
            request.lease_token,
            reason=required("failure_reason", request.failure_reason),
            retryable=request.retryable,
        )
        return jobs_pb2.FailJobResponse(will_retry=will_retry)

    def ReleaseJob(
        self, request: jobs_pb2.ReleaseJobRequest, context: grpc.ServicerContext
    ) -> jobs_pb2.ReleaseJobResponse:
        """Return a job to the queue, because its trainer is stopping."""
        self._queue.release(request.job_id, request.lease_token)
        return jobs_pb2.ReleaseJobResponse()


def _job(lease: Lease) -> jobs_pb2.Job:
    row = lease.job
    job = jobs_pb2.Job(
        job_id=row.id,
        kind=_NUMBERS[JobKind(row.kind)],
        attempt=row.attempt,
        lease_token=lease.token,
        resource_arn=row.subject,
        request_id=row.request_id,
    )
    job.lease_expires_at.FromDatetime(lease.expires_at)
    payload = getattr(job, row.kind.lower())  # named like the kind
    payload.CopyFrom(read_payload(row, JOBS[JobKind(row.kind)].payload))
    # An empty message copied from an empty one would not be set.
    payload.SetInParent()
    return job
