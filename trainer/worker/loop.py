"""The loop of a worker: lease a job, run its handler, deliver the outcome.

Whatever happens inside of a job becomes one of four outcomes: a result, a stop, a failure with a reason for its
owner, or nothing when the lease is somebody else's by now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from common.errors import TailorbirdError
from common.logs import get_logger, request_id
from common.process.backoff import Backoff, BackoffPolicy
from common.process.contact import PeerContact
from common.telemetry import NO_FIGURES, NO_TRACER, Figures, Tracer, bound
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.figures import ENDED, JOB_SECONDS, RUNNING
from trainer.worker import CancelReason, JobCancelled, JobHandler, KeepsForRetries, is_retryable
from trainer.worker.lease import Lease
from trainer.worker.queue import JobQueue

__all__ = ["Worker"]

#: Pauses between calls to a control plane that cannot be reached.
_BACKOFF: Final = BackoffPolicy(first_seconds=0.2, longest_seconds=5.0, jitter=0.5)
_log = get_logger(__name__)


class Worker:
    """Does one job after the other until it is closed.

    Args:
        queue: Where jobs come from.
        handlers: What does them, by member of the job's `payload`.
        lease_wait_seconds: How long one call for a job waits.
        heartbeat_seconds: Pause between two heartbeats.
        on_contact: Told whether the control plane can be reached, at each change.
        figures: Count the jobs.
        tracer: Traces them.
    """

    def __init__(
        self,
        queue: JobQueue,
        handlers: Mapping[str, JobHandler],
        *,
        lease_wait_seconds: float,
        heartbeat_seconds: float,
        on_contact: Callable[[bool], None],
        figures: Figures = NO_FIGURES,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._figures = figures
        for kind in handlers:
            figures.gauge(RUNNING, kind).set(0.0)
        self._queue = queue
        self._handlers = handlers
        self._lease_wait = lease_wait_seconds
        self._heartbeat = heartbeat_seconds
        self._on_contact = on_contact
        self._closing = threading.Event()
        self._running: Lease | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Work until `close`."""
        is_reachable, contact = False, PeerContact(backoff=_BACKOFF)
        while not self._closing.is_set():
            try:
                # The first call does not wait: its response is what makes the process ready.
                job = self._queue.lease(wait_seconds=self._lease_wait if is_reachable else 0.0)
            except TailorbirdError as error:
                pause = contact.failed("control_plane_unreachable", error)
                if contact.failures == 1:
                    self._on_contact(False)
                is_reachable = False
                self._closing.wait(pause)
                continue
            if not is_reachable and not self._closing.is_set():
                is_reachable = True
                contact.succeeded("control_plane_reached")
                self._on_contact(True)
            if job is not None:
                self._run_job(job)

    def close(self) -> None:
        """Take no more jobs and hand the running one back; `run` returns soon after."""
        self._closing.set()
        self._queue.close()
        with self._lock:
            if self._running is not None:
                self._running.cancel(CancelReason.CLOSING)

    def _run_job(self, job: jobs_pb2.Job) -> None:
        token = request_id.set(job.request_id)
        lease = Lease(self._queue, job, every_seconds=self._heartbeat)
        with self._lock:
            self._running = lease
            if self._closing.is_set():
                lease.cancel(CancelReason.CLOSING)
        facts = {"job_id": job.job_id, "resource_arn": job.resource_arn, "attempt": job.attempt}
        kind = job.WhichOneof("payload") or "unknown"
        _log.info("job_started", **facts, kind=kind)
        outcome = "rejected"
        try:
            with self._counted(kind), bound(self._tracer.begin(f"job {kind}")), lease.held():
                outcome = self._run_handler(job, lease)
            _log.info("job_ended", **facts, outcome=outcome)
        except TailorbirdError as error:
            # The lease is lost, or the control plane thinks otherwise of the job; it is no longer ours.
            _log.warning("outcome_rejected", **facts, reason=error.reason, message=error.message)
        finally:
            self._figures.counter(ENDED, kind, outcome.replace(" ", "_")).add()
            with self._lock:
                self._running = None
            request_id.reset(token)

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        """Count a job of a kind as running, and measure it."""
        running, began = self._figures.gauge(RUNNING, kind), time.monotonic()
        running.add()
        try:
            yield
        finally:
            running.add(-1.0)
            self._figures.histogram(JOB_SECONDS, kind).observe(time.monotonic() - began)

    def _run_handler(self, job: jobs_pb2.Job, lease: Lease) -> str:
        member = job.WhichOneof("payload")
        handler = self._handlers.get(member or "")
        try:
            if handler is None or member is None:
                raise TailorbirdError(f"`kind`: got {job.kind}, which this trainer is too old for; update it")
            lease.check()
            result = handler.run(getattr(job, member), lease)
        except JobCancelled as cancelled:
            return self._cancelled(job, lease, cancelled.reason)
        except TailorbirdError as error:
            return self._failed(job, lease, error.message, retryable=is_retryable(error))
        except MemoryError:
            return self._failed(
                job, lease, "memory ran out; give the trainer more, or let it do less at once", retryable=True
            )
        except BaseException as error:  # noqa: BLE001 - a fault in one job, panics of Rust code too, must not end the worker
            _log.exception("job_crashed")
            reason = f"internal error ({type(error).__name__}); the trainer's log has the details"
            return self._failed(job, lease, reason, retryable=True)
        self._deliver(lambda: self._queue.complete(job, result), lease)
        return "completed"

    def _cancelled(self, job: jobs_pb2.Job, lease: Lease, reason: CancelReason) -> str:
        if reason is CancelReason.STOP:
            self._deliver(lambda: self._queue.complete(job, jobs_pb2.StoppedResult()), lease)
            return "stopped"
        if reason is CancelReason.CLOSING:
            self._deliver(lambda: self._queue.release(job), lease)
            return "handed back"
        return "lost"

    def _failed(self, job: jobs_pb2.Job, lease: Lease, reason: str, *, retryable: bool) -> str:
        # The reason may quote what stands in a caller's files; the resource's description has it.
        _log.warning("job_failed", retryable=retryable)
        _log.debug("job_failed", message=reason)
        will_retry = self._deliver(lambda: self._queue.fail(job, reason=reason, retryable=retryable), lease)
        member = job.WhichOneof("payload") or ""
        handler: object = self._handlers.get(member)
        if will_retry is False and isinstance(handler, KeepsForRetries):
            try:
                handler.given_up(getattr(job, member))
            except Exception:  # noqa: BLE001 - the job has ended, and what is left behind must not end the worker
                _log.exception("job_left_something_behind")
        return "failed"

    def _deliver(self, send: Callable[[], Any], lease: Lease) -> Any:
        """Send an outcome until it is taken: what was done must not be done again because a call failed.

        Returns:
            What `send` returned; None where it was not taken.

        Raises:
            TailorbirdError: The control plane does not want it.
        """
        backoff = Backoff(_BACKOFF)
        while lease.cancel_reason is not CancelReason.LOST:
            try:
                return send()
            except TailorbirdError as error:
                if not is_retryable(error):
                    raise
                _log.warning("outcome_not_delivered", reason=error.reason, message=error.message)
                self._closing.wait(backoff.failed())
                if self._closing.is_set() and backoff.failures > 1:
                    break  # the lease will run out instead
        return None
