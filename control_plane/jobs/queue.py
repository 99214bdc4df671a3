"""The queue: hands out work under leases, and follows each attempt to its end.

Every transition of a job and of the resource it is for happens in one unit of work, so a crash between the two cannot
be. A worker that falls silent loses its lease; the job is then handed out again at once, three times in all.
What a stopping worker hands back does not count: restarts of trainers are no failures.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from common.errors import LeaseLost, invalid
from common.logs import get_logger
from common.process.backoff import BackoffPolicy
from control_plane.app_context import AppContext
from control_plane.domain.failures import Attempt, failure_reason, lost_lease
from control_plane.jobs.states import JobKind, JobState, Outcome
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Job, JobAttempt

__all__ = ["MAX_ATTEMPTS", "JobListener", "JobQueue", "Lease", "Renewal"]

MAX_ATTEMPTS: Final = 3
_MAX_REASON: Final = 4000
_log = get_logger(__name__)


class JobListener(Protocol):
    """What becomes of a resource as its job goes on; called within the unit of work that moves the job.

    Attributes:
        work: What the job does, for failure reasons, e.g. `training`.
    """

    work: str

    def started(self, unit: Unit, job: Job) -> None:
        """An attempt begins."""

    def succeeded(self, unit: Unit, job: Job, result: Mapping[str, Any]) -> None:
        """The work is done."""

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """The work is given up."""

    def stopped(self, unit: Unit, job: Job) -> None:
        """The work ended on request."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt, handed to one worker."""

    job: Job
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Renewal:
    """Answer to a heartbeat."""

    expires_at: datetime
    stop_requested: bool


class JobQueue:
    """Leases, heartbeats, results.

    Args:
        catalogue: Keeps the jobs.
        environment: Clock and ids.
        owners: Who is told of each kind of job.
        lease_seconds: How long a lease holds without a heartbeat.
        retry_seconds: Pause after a first failure; doubled after the second.
    """

    def __init__(
        self,
        catalogue: MetadataStore,
        environment: AppContext,
        *,
        owners: Mapping[JobKind, JobListener],
        lease_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._environment = environment
        self._owners = owners
        self._lease = timedelta(seconds=lease_seconds)
        self._began = environment.clock.now()
        # Attempts are counted, so that the pauses need no bound of their own.
        self._backoff = BackoffPolicy(first_seconds=retry_seconds, longest_seconds=math.inf)

    def lease(self, worker_id: str, kinds: Collection[JobKind]) -> Lease | None:
        """Hand the next job to a worker, None when none waits: dataset groups take turns, each with its oldest first.

        Args:
            worker_id: Name of the worker.
            kinds: What it can do; nothing means everything.
        """
        wanted = frozenset(kinds or JobKind)
        now = self._now()
        with self._catalogue.read() as unit:
            if unit.due_job(wanted, now=now) is None and not self._expired(unit, now):
                return None
        with self._catalogue.write() as unit:
            self._expire(unit, now)
            job = unit.due_job(wanted, now=now)
            if job is None:
                return None
            token = self._environment.new_id()
            job.state = JobState.LEASED
            job.attempt += 1
            job.progress = 0.0
            job.activity = None
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
            self._owner(job).started(unit, job)
        _log.info("job_leased", **_facts(job), worker_id=worker_id)
        return Lease(job, token, expires_at)

    def heartbeat(self, job_id: str, token: str, *, progress: float | None, activity: str | None) -> Renewal:
        """Renew a lease.

        Raises:
            LeaseLost: It is no longer the worker's.
        """
        now = self._now()
        with self._catalogue.write() as unit:
            job, attempt = self._running(unit, job_id, token)
            job.lease_expires_at = now + self._lease
            attempt.last_sign_at = now
            if progress is not None:
                job.progress = min(max(progress, 0.0), 1.0)
            if activity is not None:
                job.activity = activity[:500]
            return Renewal(job.lease_expires_at, job.stop_requested)

    def complete(self, job_id: str, token: str, *, kind: JobKind | None, result: Mapping[str, Any]) -> None:
        """End a job with its result.

        Args:
            job_id: The job.
            token: Its lease.
            kind: Kind of the result; None for work that stopped on request.
            result: Keyed like the message of the contract.

        Raises:
            LeaseLost: The lease is no longer the worker's.
            InvalidInput: The result is of another kind than the job.
        """
        with self._catalogue.write() as unit:
            attempt = self._attempt(unit, job_id, token)
            if attempt.outcome in (Outcome.SUCCEEDED, Outcome.STOPPED):
                return
            job, attempt = self._running(unit, job_id, token)
            if (kind is None and not job.stop_requested) or (kind is not None and kind != job.kind):
                got = "stopped" if kind is None else kind.lower()
                raise invalid("result", got=got, want=f"the result of a {job.kind.lower()} job")
            if job.stop_requested:
                # The owner asked first: a result that comes nevertheless is not used.
                self._owner(job).stopped(unit, job)
                self._end(job, attempt, Outcome.STOPPED, JobState.STOPPED)
            else:
                self._owner(job).succeeded(unit, job, result)
                self._end(job, attempt, Outcome.SUCCEEDED, JobState.SUCCEEDED)
        _log.info("job_ended", **_facts(job), state=job.state)

    def fail(self, job_id: str, token: str, *, reason: str, retryable: bool) -> bool:
        """End an attempt that did not succeed.

        Returns:
            Whether the job will be handed out again.

        Raises:
            LeaseLost: The lease is no longer the worker's.
        """
        with self._catalogue.write() as unit:
            attempt = self._attempt(unit, job_id, token)
            if attempt.outcome == Outcome.FAILED:
                known = unit.get(Job, job_id)
                return known is not None and known.state in (JobState.WAITING, JobState.LEASED)
            job, attempt = self._running(unit, job_id, token)
            pause = timedelta(seconds=self._backoff.pause_seconds(job.attempt))
            self._unsuccessful(unit, job, attempt, Outcome.FAILED, reason, retryable=retryable, pause=pause)
        # The reason may quote what stands in a caller's files; the resource's description has it.
        _log.info("job_attempt_failed", **_facts(job), state=job.state)
        _log.debug("job_attempt_failed", job_id=job_id, reason=reason)
        return job.state == JobState.WAITING

    def release(self, job_id: str, token: str) -> None:
        """Take back a job whose worker is stopping: as if the attempt had never begun.

        Raises:
            LeaseLost: The lease is no longer the worker's.
        """
        with self._catalogue.write() as unit:
            if self._attempt(unit, job_id, token).outcome == Outcome.RELEASED:
                return
            job, attempt = self._running(unit, job_id, token)
            if job.stop_requested:
                self._end(job, attempt, Outcome.RELEASED, JobState.STOPPED)
                self._owner(job).stopped(unit, job)
            else:
                self._end(job, attempt, Outcome.RELEASED, JobState.WAITING)
                job.available_at = self._now()
                # The next attempt has this number.
                job.attempt -= 1
        _log.info("job_released", **_facts(job), state=job.state, worker_id=attempt.worker_id)

    def expire(self) -> None:
        """Take back leases whose workers have fallen silent."""
        now = self._now()
        with self._catalogue.read() as unit:
            if not self._expired(unit, now):
                return
        with self._catalogue.write() as unit:
            self._expire(unit, now)

    def _expired(self, unit: Unit, now: datetime) -> list[Job]:
        """Return jobs whose workers have been silent for a lease; while no queue was there none could be heard."""
        return unit.expired_jobs(now=now) if now > self._began + self._lease else []

    def _expire(self, unit: Unit, now: datetime) -> None:
        for job in self._expired(unit, now):
            attempt = unit.first(JobAttempt, job_id=job.id, outcome=Outcome.RUNNING)
            assert attempt is not None, "a leased job has a running attempt"
            reason = lost_lease(last_sign=attempt.last_sign_at, activity=job.activity)
            self._unsuccessful(unit, job, attempt, Outcome.LOST, reason, retryable=True, pause=timedelta())
            _log.warning("job_lease_lost", **_facts(job), state=job.state, worker_id=attempt.worker_id)
        unit.flush()

    def _unsuccessful(
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
        attempt.reason = reason[:_MAX_REASON]
        if job.stop_requested:
            self._owner(job).stopped(unit, job)
            self._end(job, attempt, outcome, JobState.STOPPED)
        elif retryable and job.attempt < MAX_ATTEMPTS:
            self._end(job, attempt, outcome, JobState.WAITING)
            job.available_at = self._now() + pause
        else:
            owner = self._owner(job)
            attempts = [
                Attempt(item.number, item.worker_id, item.reason or "")
                for item in unit.find(JobAttempt, job_id=job.id, order=["number"])
                if item.outcome != Outcome.RELEASED
            ]
            told = failure_reason(owner.work, attempts, retryable=retryable, request_id=job.request_id)
            owner.failed(unit, job, told)
            self._end(job, attempt, outcome, JobState.FAILED)

    def _end(self, job: Job, attempt: JobAttempt, outcome: Outcome, state: JobState) -> None:
        attempt.outcome = outcome
        job.state = state
        job.lease_expires_at = None
        if state is not JobState.WAITING:
            job.finished_at = self._now()
            # It holds the schemas of all tables, and nobody reads it any more.
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

    def _owner(self, job: Job) -> JobListener:
        return self._owners[JobKind(job.kind)]

    def _now(self) -> datetime:
        return self._environment.clock.now()


def _facts(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "kind": job.kind,
        "resource_arn": job.subject,
        "attempt": job.attempt,
        "origin_request_id": job.request_id,
    }
