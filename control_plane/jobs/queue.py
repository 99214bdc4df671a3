"""The job queue: leases jobs to workers and records how each attempt ends.

Every transition of a job and of its resource happens in one unit of work, so no crash can come between the two. A
worker that sends no heartbeats loses its lease, and the job can be leased again at once, three times in all. Attempts
that a stopping worker releases do not count: restarts of trainers are no failures.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from google.protobuf.message import Message

from common.errors import LeaseLost, invalid
from common.logs import get_logger
from common.process.backoff import BackoffPolicy
from common.telemetry import NO_FIGURES, Figures
from control_plane.app_context import AppContext
from control_plane.domain.jobs import (
    UNFINISHED,
    FailedAttempt,
    JobKind,
    JobState,
    Outcome,
    failure_reason,
    lost_lease_reason,
)
from control_plane.figures import JOB_ENDS, LEASES_LOST
from control_plane.jobs.listeners import JobListener
from control_plane.jobs.progress import finite
from control_plane.jobs.registry import JOBS
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Job, JobAttempt
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress

__all__ = ["MAX_ATTEMPTS", "JobQueue", "Lease", "Renewal"]

MAX_ATTEMPTS: Final = 3
_MAX_REASON: Final = 4000
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to one attempt at a job.

    Attributes:
        job: The job.
        token: Identifies the lease in the worker's further calls.
        expires_at: When the lease ends unless a heartbeat renews it.
    """

    job: Job
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of a heartbeat.

    Attributes:
        expires_at: When the lease now ends unless another heartbeat renews it.
        stop_requested: Whether the worker is to stop the job.
    """

    expires_at: datetime
    stop_requested: bool


class JobQueue:
    """Leases jobs, and takes heartbeats and results.

    Args:
        metadata_store: Keeps the jobs.
        app_context: Clock and ids.
        lease_seconds: How long a lease holds without a heartbeat.
        retry_seconds: Pause after a first failure; doubled after the second.
        figures: Count how jobs end.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        app_context: AppContext,
        *,
        lease_seconds: float,
        retry_seconds: float,
        figures: Figures = NO_FIGURES,
    ) -> None:
        self._figures = figures
        self._metadata_store = metadata_store
        self._app_context = app_context
        self._listeners = {kind: spec.listener(app_context) for kind, spec in JOBS.items()}
        self._lease = timedelta(seconds=lease_seconds)
        self._started_at = app_context.clock.now()
        # The number of attempts is bounded, so that the pauses need no bound of their own.
        self._backoff = BackoffPolicy(first_seconds=retry_seconds, longest_seconds=math.inf)

    def lease(self, worker_id: str, kinds: Collection[JobKind]) -> Lease | None:
        """Lease the next due job to a worker: dataset groups take turns, each with its oldest job first.

        Args:
            worker_id: Name of the worker.
            kinds: Kinds of jobs that it can do; empty for all.

        Returns:
            The lease; None when no job is due.
        """
        job_kinds = frozenset(kinds or JobKind)
        now = self._now()

        def something_to_do(unit: Unit) -> bool:
            return unit.due_job(job_kinds, now=now) is not None or bool(self._expired(unit, now))

        if not self._metadata_store.view(something_to_do):
            return None
        return self._metadata_store.transact(lambda unit: self._lease_next(unit, worker_id, job_kinds, now))

    def _lease_next(self, unit: Unit, worker_id: str, kinds: Collection[JobKind], now: datetime) -> Lease | None:
        self._expire(unit, now)
        job = unit.due_job(kinds, now=now)
        if job is None:
            return None
        token = self._app_context.new_id()
        job.state = JobState.LEASED
        job.attempt += 1
        job.progress = 0.0
        job.activity = None
        job.training = None
        job.leased_at = now
        job.lease_expires_at = expires_at = now + self._lease
        unit.add(
            JobAttempt(
                lease_token=token,
                job_id=job.id,
                number=job.attempt,
                worker_id=worker_id,
                outcome=Outcome.RUNNING,
                started_at=now,
                last_sign_at=now,
            )
        )
        self._listener(job).started(unit, job)
        unit.after_commit(partial(_log.info, "job_leased", **_log_fields(job), worker_id=worker_id))
        return Lease(job, token, expires_at)

    def heartbeat(
        self,
        job_id: str,
        token: str,
        *,
        progress: float | None,
        activity: str | None,
        training: TrainingProgress | None = None,
    ) -> Renewal:
        """Renew a lease.

        Args:
            job_id: The job.
            token: Its lease.
            progress: Share of the work that is done; None to leave it as it is.
            activity: What is being done; None to leave it as it is.
            training: How far the epochs of a training are; None where there are none, or without an activity to leave
                it as it is.

        Raises:
            LeaseLost: The lease is no longer the worker's.
        """
        now = self._now()

        def renew(unit: Unit) -> Renewal:
            job, attempt = self._running(unit, job_id, token)
            job.lease_expires_at = now + self._lease
            attempt.last_sign_at = now
            if progress is not None and not math.isnan(progress):
                job.progress = min(max(progress, 0.0), 1.0)
            if activity is not None:
                job.activity = activity[:500]
                # What was said of epochs ends with them: an activity without is one of another stage.
                job.training = None
            if training is not None:
                job.training = finite(training)
            return Renewal(job.lease_expires_at, job.stop_requested)

        return self._metadata_store.transact(renew)

    def complete(self, job_id: str, token: str, *, kind: JobKind | None, result: Message) -> None:
        """End a job with its result.

        Args:
            job_id: The job.
            token: Its lease.
            kind: Kind of the result; None for work that stopped on request.
            result: The contract's message of that kind.

        Raises:
            LeaseLost: The lease is no longer the worker's.
            InvalidInput: The result is of another kind than the job.
        """

        def end(unit: Unit) -> None:
            attempt = self._attempt(unit, job_id, token)
            if attempt.outcome in (Outcome.SUCCEEDED, Outcome.STOPPED):
                return
            job, attempt = self._running(unit, job_id, token)
            if (kind is None and not job.stop_requested) or (kind is not None and kind != job.kind):
                got = "stopped" if kind is None else kind.lower()
                raise invalid("result", got=got, want=f"the result of a {job.kind.lower()} job")
            if job.stop_requested:
                # The caller's request to stop came first: the result is not used.
                self._listener(job).stopped(unit, job)
                self._end_attempt(unit, job, attempt, Outcome.STOPPED, JobState.STOPPED)
            else:
                self._listener(job).succeeded(unit, job, result)
                self._end_attempt(unit, job, attempt, Outcome.SUCCEEDED, JobState.SUCCEEDED)
            unit.after_commit(partial(_log.info, "job_ended", **_log_fields(job), state=job.state))

        self._metadata_store.transact(end)

    def fail(self, job_id: str, token: str, *, reason: str, retryable: bool) -> bool:
        """End an attempt that did not succeed.

        Returns:
            Whether there will be another attempt.

        Raises:
            LeaseLost: The lease is no longer the worker's.
        """

        def end(unit: Unit) -> bool:
            attempt = self._attempt(unit, job_id, token)
            if attempt.outcome == Outcome.FAILED:
                failed_job = unit.get(Job, job_id)
                return failed_job is not None and failed_job.state in UNFINISHED
            job, attempt = self._running(unit, job_id, token)
            pause = timedelta(seconds=self._backoff.pause_seconds(job.attempt))
            self._end_unsuccessful(unit, job, attempt, Outcome.FAILED, reason, retryable=retryable, pause=pause)
            unit.after_commit(partial(_log.info, "job_attempt_failed", **_log_fields(job), state=job.state))
            # The reason may quote a caller's files, so it is logged at DEBUG only; Describe calls show it.
            unit.after_commit(partial(_log.debug, "job_attempt_failed", job_id=job_id, reason=reason))
            return job.state == JobState.WAITING

        return self._metadata_store.transact(end)

    def release(self, job_id: str, token: str) -> None:
        """Return a job to the queue because its worker is stopping, as if the attempt had never begun.

        Raises:
            LeaseLost: The lease is no longer the worker's.
        """

        def put_back(unit: Unit) -> None:
            if self._attempt(unit, job_id, token).outcome == Outcome.RELEASED:
                return
            job, attempt = self._running(unit, job_id, token)
            if job.stop_requested:
                self._end_attempt(unit, job, attempt, Outcome.RELEASED, JobState.STOPPED)
                self._listener(job).stopped(unit, job)
            else:
                self._end_attempt(unit, job, attempt, Outcome.RELEASED, JobState.WAITING)
                job.available_at = self._now()
                # The next attempt gets the same number.
                job.attempt -= 1
            fields = _log_fields(job) | {"state": job.state, "worker_id": attempt.worker_id}
            unit.after_commit(partial(_log.info, "job_released", **fields))

        self._metadata_store.transact(put_back)

    def expire(self) -> None:
        """End the leases whose workers have sent no heartbeat in time."""
        now = self._now()
        if self._metadata_store.view(lambda unit: self._expired(unit, now)):
            self._metadata_store.transact(lambda unit: self._expire(unit, now))

    def _expired(self, unit: Unit, now: datetime) -> list[Job]:
        """Return the jobs whose leases have expired.

        For one lease time after the start there are none: no heartbeat could be sent while no queue was running.
        """
        return unit.expired_jobs(now=now) if now > self._started_at + self._lease else []

    def _expire(self, unit: Unit, now: datetime) -> None:
        for job in self._expired(unit, now):
            attempt = unit.first(JobAttempt, job_id=job.id, outcome=Outcome.RUNNING)
            assert attempt is not None, "a leased job has a running attempt"
            reason = lost_lease_reason(last_heartbeat=attempt.last_sign_at, activity=job.activity)
            self._end_unsuccessful(unit, job, attempt, Outcome.LOST, reason, retryable=True, pause=timedelta())
            fields = _log_fields(job) | {"state": job.state, "worker_id": attempt.worker_id}
            unit.after_commit(partial(_log.warning, "job_lease_lost", **fields))
            unit.after_commit(self._figures.counter(LEASES_LOST, job.kind.lower()).add)
        unit.flush()

    def _end_unsuccessful(
        self,
        unit: Unit,
        job: Job,
        attempt: JobAttempt,
        outcome: Outcome,
        reason: str,
        *,
        retryable: bool,
        pause: timedelta,
    ) -> None:
        """End an attempt that failed or was lost: the job waits for the next one, or ends too."""
        attempt.reason = reason[:_MAX_REASON]
        if job.stop_requested:
            self._listener(job).stopped(unit, job)
            self._end_attempt(unit, job, attempt, outcome, JobState.STOPPED)
        elif retryable and job.attempt < MAX_ATTEMPTS:
            self._end_attempt(unit, job, attempt, outcome, JobState.WAITING)
            job.available_at = self._now() + pause
        else:
            attempts = [
                FailedAttempt(item.number, item.worker_id, item.reason or "")
                for item in unit.find(JobAttempt, job_id=job.id, order=["number"])
                if item.outcome != Outcome.RELEASED
            ]
            work = JOBS[JobKind(job.kind)].work
            shown_reason = failure_reason(work, attempts, retryable=retryable, request_id=job.request_id)
            self._listener(job).failed(unit, job, shown_reason)
            self._end_attempt(unit, job, attempt, outcome, JobState.FAILED)

    def _end_attempt(self, unit: Unit, job: Job, attempt: JobAttempt, outcome: Outcome, state: JobState) -> None:
        attempt.outcome = outcome
        job.state = state
        job.lease_expires_at = None
        if state is not JobState.WAITING:
            job.finished_at = self._now()
            unit.after_commit(self._figures.counter(JOB_ENDS, job.kind.lower(), state.lower()).add)
            # It holds the schemas of all tables, and is not read any more.
            job.payload = {}

    def _attempt(self, unit: Unit, job_id: str, token: str) -> JobAttempt:
        attempt = unit.get(JobAttempt, token)
        if attempt is None or attempt.job_id != job_id:
            raise LeaseLost(f"`lease_token`: got one that is not of job {job_id}; stop the work and publish nothing")
        return attempt

    def _running(self, unit: Unit, job_id: str, token: str) -> tuple[Job, JobAttempt]:
        attempt = self._attempt(unit, job_id, token)
        job = unit.get(Job, job_id)
        if job is None or attempt.outcome != Outcome.RUNNING:
            raise LeaseLost(
                f"`lease_token`: got one whose attempt at job {job_id} is over ({attempt.outcome.lower()}); "
                "stop the work and publish nothing"
            )
        return job, attempt

    def _listener(self, job: Job) -> JobListener[Any]:
        return self._listeners[JobKind(job.kind)]

    def _now(self) -> datetime:
        return self._app_context.clock.now()


def _log_fields(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "kind": job.kind,
        "resource_arn": job.subject,
        "attempt": job.attempt,
        "origin_request_id": job.request_id,
    }
