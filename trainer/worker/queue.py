"""The trainer's client of the job queue: calls to the control plane, and errors of `common.errors`."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from common.rpc import from_rpc_error
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from trainer.worker import NO_DETAILS

__all__ = ["JobQueue"]


class JobQueue:
    """Calls the control plane's job service. Every method raises TailorbirdError as the control plane says.

    Args:
        channel: To the control plane, carrying the trainer's token.
        worker_id: Names this process in the queue.
        kinds: Members of a job's `payload` that are leased; nothing means every kind.
    """

    def __init__(self, channel: grpc.Channel, *, worker_id: str, kinds: Collection[str] = ()) -> None:
        self._stub = JobServiceStub(channel)
        self._worker_id = worker_id
        self._kinds = [jobs_pb2.JobKind.Value(f"JOB_KIND_{kind.upper()}") for kind in kinds]
        self._pending: set[Any] = set()
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def lease(self, *, wait_seconds: float) -> jobs_pb2.Job | None:
        """Wait for a job; None when there was none in time, or the queue was closed."""
        request = jobs_pb2.LeaseJobRequest(worker_id=self._worker_id, kinds=self._kinds, wait_seconds=wait_seconds)
        with self._lock:
            if self._closed.is_set():
                return None
            call = self._stub.LeaseJob.future(request)
            self._pending.add(call)
        try:
            answer: jobs_pb2.LeaseJobResponse = call.result()
        except grpc.FutureCancelledError:
            return None
        except grpc.RpcError as error:
            if self._closed.is_set():
                return None
            raise from_rpc_error(error) from error
        finally:
            with self._lock:
                self._pending.discard(call)
        return answer.job if answer.HasField("job") else None

    def heartbeat(
        self, job: jobs_pb2.Job, *, progress: float, activity: str, details: Mapping[str, float] = NO_DETAILS
    ) -> bool:
        """Renew a lease; return whether the owner wants it to stop."""
        request = jobs_pb2.HeartbeatJobRequest(
            job_id=job.job_id, lease_token=job.lease_token, progress=progress, activity=activity or None
        )
        for name, value in details.items():
            # What fits report beside these is for logs.
            if (field := TrainingProgress.DESCRIPTOR.fields_by_name.get(name)) is not None:
                is_float = field.type == field.TYPE_DOUBLE
                setattr(request.training, name, value if is_float else round(value))
        with _our_errors():
            return bool(self._stub.HeartbeatJob(request).stop_requested)

    def complete(self, job: jobs_pb2.Job, result: Any) -> None:
        """End a job with the result message of its kind, or with StoppedResult."""
        request = jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token)
        # Members of `result` are named like those of `payload`.
        payload = job.WhichOneof("payload") or ""
        member: str = "stopped" if isinstance(result, jobs_pb2.StoppedResult) else payload
        getattr(request, member).CopyFrom(result)
        # An empty message copied from an empty one would not be set.
        getattr(request, member).SetInParent()
        with _our_errors():
            self._stub.CompleteJob(request)

    def fail(self, job: jobs_pb2.Job, *, reason: str, retryable: bool) -> bool:
        """End an attempt without success; return whether there will be another."""
        # A reason may quote the name of a file, which need not be Unicode; messages hold nothing else.
        text = reason.encode(errors="backslashreplace").decode()
        request = jobs_pb2.FailJobRequest(
            job_id=job.job_id, lease_token=job.lease_token, failure_reason=text, retryable=retryable
        )
        with _our_errors():
            return bool(self._stub.FailJob(request).will_retry)

    def release(self, job: jobs_pb2.Job) -> None:
        """Hand a job back that is to be done by another worker; the attempt does not count."""
        with _our_errors():
            self._stub.ReleaseJob(jobs_pb2.ReleaseJobRequest(job_id=job.job_id, lease_token=job.lease_token))

    def close(self) -> None:
        """Let `lease` return; other calls still work."""
        with self._lock:
            self._closed.set()
            calls = list(self._pending)
        for call in calls:
            call.cancel()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
