"""The rules of long work: who gets a job, what an attempt's end means, and what the resource shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.control_plane.model.rules import (
    ACTIVE,
    DELETE_IN_PROGRESS,
    FAILED,
    IN_PROGRESS,
    INVALID,
    LEASE_LOST,
    STOPPED,
    Document,
    Mentions,
    Refused,
    Resource,
    Rules,
)

IMPORT, TRAINING, REMOVAL = "dataset_import", "solution_version_training", "storage_removal"
EXPORT, DELETION = "dataset_export", "data_deletion"
BATCH_INFERENCE, BATCH_SEGMENT = "batch_inference", "batch_segment"
#: States of the resource while its job runs, when it has succeeded and when it has failed.
STATES = (IN_PROGRESS, ACTIVE, FAILED)
STATES_OF = {DELETION: ("IN_PROGRESS", "COMPLETED", "FAILED")}
#: A worker that sends no heartbeat for so long loses its job.
LEASE = timedelta(seconds=60)
#: Pause before the second attempt; twice as long before the third, which is the last.
RETRY = timedelta(seconds=5)
ATTEMPTS = 3
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(eq=False)
class Job:
    """Work that waits, runs or is over.

    Attributes:
        kind: What is to be done.
        subject: The resource that it is for.
        group: ARN of the dataset group, which takes turns with others.
        created: When it was asked for.
        available: It is not given to a worker before.
        attempts: How often it was given to a worker, without those that gave it back.
        lease: The attempt that runs.
        reasons: Of the attempts that failed.
    """

    kind: str
    subject: Resource
    group: str
    created: datetime
    available: datetime
    is_over: bool = False
    attempts: int = 0
    stop_requested: bool = False
    lease: Lease | None = None
    reasons: list[str] = field(default_factory=list)

    @property
    def states(self) -> tuple[str, str, str]:
        return STATES_OF.get(self.kind, STATES)


@dataclass(eq=False)
class Lease:
    """An attempt: the right of one worker to a job, until it ends or expires.

    Attributes:
        job: The job.
        expires: When it ends without a heartbeat.
        message: The service's job message, with which the worker reports.
        outcome: How it ended; empty while it runs.
    """

    job: Job
    expires: datetime
    message: Any
    outcome: str = ""


class JobRules(Rules):
    """The queue of jobs, of all accounts together."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.jobs: list[Job] = []
        self.leases: list[Lease] = []
        self.last_turns: dict[str, datetime] = {}
        #: Metrics of the ACTIVE solution versions, by ARN.
        self.metrics: dict[str, Document] = {}
        #: Versions that are significantly worse than those before them.
        self.worse: set[Resource] = set()
        #: What recommenders are trained to, by ARN: versions that no operation shows.
        self.trainings: dict[str, Resource] = {}
        self.started = self.now()
        #: Metrics of each metric attribution, by name.
        self.counted: dict[Resource, dict[str, Document]] = {}

    def enqueue(self, kind: str, subject: Resource, group: str) -> None:
        self.jobs.append(Job(kind, subject, group, created=self.now(), available=self.now()))

    def lease(self, message: Any) -> None:
        """Give the next job to a worker.

        Dataset groups take turns: the next job is the oldest of the group whose last turn was longest ago.

        Args:
            message: The job that the service gave; None for none.
        """
        self.expire()
        due = [job for job in self.jobs if not job.is_over and job.lease is None and job.available <= self.now()]
        if not due:
            assert message is None, f"got {message.resource_arn}, want no job"
            return
        first = min(self.turn(job) for job in due)
        candidates = {job.subject.arn: job for job in due if self.turn(job) == first}
        assert message is not None, f"got no job, want one of {list(candidates)}"
        assert message.resource_arn in candidates, f"got {message.resource_arn}, want one of {list(candidates)}"
        job = candidates[message.resource_arn]
        job.attempts += 1
        assert message.attempt == job.attempts
        self.last_turns[job.group] = self.now()
        job.lease = Lease(job, self.now() + LEASE, message)
        self.leases.append(job.lease)
        self.set_status(job.subject, DELETE_IN_PROGRESS if job.kind == REMOVAL else job.states[0])

    def turn(self, job: Job) -> tuple[datetime, datetime, datetime]:
        return (self.last_turns.get(job.group, NEVER), job.available, job.created)

    def expire(self) -> None:
        """Take jobs from workers that sent no heartbeat in time, as after a failure; the next may begin at once.

        For one lease time after the service's start nobody loses a job: no heartbeat could reach it before.
        """
        if self.now() <= self.started + LEASE:
            return
        for job in self.jobs:
            if job.lease is not None and job.lease.expires < self.now():
                self.end_unsuccessful(job, "LOST", "the worker sent no sign of life", pause=timedelta())

    def heartbeat(self, lease: Lease) -> bool:
        """Renew a lease; return whether the worker has to stop."""
        self.require_running(lease)
        lease.expires = self.now() + LEASE
        return lease.job.stop_requested

    def complete(self, lease: Lease, kind: str, result: Document) -> None:
        """End a job with its result; a request to stop that came before is stronger. Saying it again changes nothing.

        Args:
            lease: The worker's.
            kind: Of the result, or `stopped`.
            result: What was done.
        """
        if lease.outcome in ("SUCCEEDED", "STOPPED"):
            return
        self.require_running(lease)
        job = lease.job
        if kind != job.kind and not (kind == "stopped" and job.stop_requested):
            raise Refused(INVALID)
        if job.stop_requested:
            self.stop_job(job)
            self.end(job, "STOPPED", is_over=True)
            return
        if job.kind == DELETION:
            job.subject.described["numDeleted"] = result["numDeleted"]
        if job.kind == TRAINING:
            job.subject.described["trainingHours"] = result["trainingHours"]
            self.metrics[job.subject.arn] = result["metrics"]
            self.worse |= {job.subject} if result["isWorse"] else set()
        if job.kind == REMOVAL:
            self.remove_with_contents(job.subject)
        else:
            self.set_status(job.subject, job.states[1])
        self.end(job, "SUCCEEDED", is_over=True)

    def fail(self, lease: Lease, reason: str, *, is_retryable: bool) -> bool:
        """End an attempt that failed; return whether there will be another."""
        if lease.outcome != "FAILED":
            self.require_running(lease)
            pause = RETRY * 2 ** (lease.job.attempts - 1)
            self.end_unsuccessful(lease.job, "FAILED", reason, pause=pause, is_retryable=is_retryable)
        return not lease.job.is_over

    def release(self, lease: Lease) -> None:
        """Give a job back, which does not count as an attempt."""
        if lease.outcome == "RELEASED":
            return
        self.require_running(lease)
        job = lease.job
        if job.stop_requested:
            self.stop_job(job)
        else:
            job.attempts -= 1
            job.available = self.now()
        self.end(job, "RELEASED", is_over=job.stop_requested)

    def end_unsuccessful(
        self, job: Job, outcome: str, reason: str, *, pause: timedelta, is_retryable: bool = True
    ) -> None:
        """End an attempt that did not succeed: the last one, or one that nothing can mend, ends the job."""
        job.reasons.append(reason)
        if job.stop_requested:
            self.stop_job(job)
            self.end(job, outcome, is_over=True)
        elif is_retryable and job.attempts < ATTEMPTS:
            job.available = self.now() + pause
            self.end(job, outcome, is_over=False)
        else:
            if job.kind == REMOVAL:
                # What is left in the store is the operator's business: the resource goes.
                self.remove_with_contents(job.subject)
            elif len(job.reasons) == 1 and not is_retryable:
                self.set_status(job.subject, job.states[2], reason)
            else:
                self.set_status(job.subject, job.states[2], Mentions(*job.reasons))
            self.end(job, outcome, is_over=True)

    def end(self, job: Job, outcome: str, *, is_over: bool) -> None:
        job.lease.outcome = outcome
        job.lease = None
        job.is_over = is_over

    def stop_job(self, job: Job) -> None:
        self.set_status(job.subject, STOPPED)

    @staticmethod
    def require_running(lease: Lease) -> None:
        if lease.outcome:
            raise Refused(LEASE_LOST)

    def remove_with_contents(self, resource: Resource) -> None:
        """Remove a dataset or a solution, with its jobs or versions, and theirs."""
        for other in list(self.resources.values()):
            if resource.arn in other.parents.values():
                self.remove_with_contents(other)
        self.remove(resource)
