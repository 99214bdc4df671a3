"""What keeps resources in step with their jobs: a listener for each kind, called as attempts start and jobs end."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from common.errors import invalid
from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.evaluations import Verdict, verdict_of
from control_plane.domain.recipes import recipe_arn
from control_plane.domain.states import Status
from control_plane.jobs.payloads import read_payload, write_payload
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    BatchInferenceJob,
    BatchSegmentJob,
    DataDeletionJob,
    Dataset,
    DatasetExportJob,
    DatasetGroup,
    DatasetImportJob,
    Deployment,
    Job,
    Recommender,
    RemovedFolder,
    Solution,
    SolutionVersion,
    UserSearch,
)
from control_plane.resources.base import remove
from control_plane.resources.features import plan_snapshot, snapshot_payload
from control_plane.serving.revisions import next_revision
from control_plane.serving.trainings import follow_training
from protos.tailorbird.internal.v1.jobs_pb2 import (
    DataDeletionPayload,
    DataDeletionResult,
    DatasetImportResult,
    FeatureSnapshotResult,
    PredecessorVersion,
    SolutionVersionTrainingPayload,
    SolutionVersionTrainingResult,
    SolutionVersionUpdatePayload,
    SolutionVersionUpdateResult,
    StorageMaintenanceResult,
    StorageRemovalPayload,
    StorageRemovalResult,
    UserSearchResult,
)
from recipes.catalog import RECIPES

__all__ = [
    "LATE_WRITES",
    "REMOVED_AGAIN_AFTER",
    "DeletionListener",
    "FeaturesListener",
    "ImportListener",
    "JobListener",
    "MaintenanceListener",
    "RemovalListener",
    "SearchListener",
    "StatusListener",
    "TrainingListener",
    "UpdateListener",
]

_log = get_logger(__name__)
#: How long a worker that is thought dead may still write into a folder that was removed.
LATE_WRITES: Final = timedelta(days=2)
#: When a folder is removed again that could not be.
REMOVED_AGAIN_AFTER: Final = timedelta(days=1)
#: When the maintenance of a group goes on that reached a bound: other groups have their turn before.
_CONTINUED_AFTER: Final = timedelta(minutes=15)
#: Counts in responses have 32 bits.
_MAX_INTEGER: Final = 2**31 - 1
#: When a snapshot of features is tried again that failed for good.
_SNAPSHOT_RETRY: Final = timedelta(minutes=15)
ResultT_contra = TypeVar("ResultT_contra", bound=Message, contravariant=True)
ResultT = TypeVar("ResultT", bound=Message)
Row = TypeVar("Row", bound=Any)


class JobListener(Protocol[ResultT_contra]):
    """Keeps the resources of one kind of job in step with it; called within the unit of work that changes the job."""

    def started(self, unit: Unit, job: Job) -> None:
        """Handle the beginning of an attempt."""

    def succeeded(self, unit: Unit, job: Job, result: ResultT_contra) -> None:
        """Handle the end of a job that succeeded, with its result."""

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Handle the end of a job that failed for good."""

    def stopped(self, unit: Unit, job: Job) -> None:
        """Handle the end of a job that was stopped on request."""


class StatusListener(Generic[Row, ResultT]):
    """Keeps the status of a resource that stands for its job; resources that record more of a result add it.

    Args:
        app_context: The clock.
        table: The table of the resource, which cannot be deleted while its job waits or runs.
    """

    def __init__(self, app_context: AppContext, table: type[Row]) -> None:
        self._clock = app_context.clock
        self._table = table

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status to CREATE IN_PROGRESS."""
        self._update(unit, job, Status.CREATE_IN_PROGRESS)

    def succeeded(self, unit: Unit, job: Job, result: ResultT) -> None:  # noqa: ARG002 - subclasses record it
        """Set the status to ACTIVE."""
        self._update(unit, job, Status.ACTIVE)

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Set the status to CREATE FAILED, with the reason."""
        self._update(unit, job, Status.CREATE_FAILED).failure_reason = reason

    def stopped(self, unit: Unit, job: Job) -> None:  # noqa: ARG002 - the port's signature
        """Raise InvalidInput: the API has no operation that stops the job."""
        raise invalid("job", got=job.id, want="a job that can be stopped")

    def _update(self, unit: Unit, job: Job, status: Status) -> Row:
        row = unit.get(self._table, job.subject)
        assert row is not None, "a job that waits or runs keeps its resource from being deleted"
        row.status = status
        row.last_updated_date_time = self._clock.now()
        return row


class ImportListener(StatusListener[DatasetImportJob, DatasetImportResult]):
    """Updates import jobs."""

    def __init__(self, app_context: AppContext) -> None:
        super().__init__(app_context, DatasetImportJob)

    def succeeded(self, unit: Unit, job: Job, result: DatasetImportResult) -> None:
        """Set the status to ACTIVE, record the number of imported rows, and let a snapshot of features be made."""
        row = self._update(unit, job, Status.ACTIVE)
        row.imported_rows = result.imported_rows
        dataset = unit.get(Dataset, row.dataset_arn)
        assert dataset is not None, "an import that runs keeps its dataset from being deleted"
        plan_snapshot(dataset, at=self._clock.now())


class DeletionListener(StatusListener[DataDeletionJob, DataDeletionResult]):
    """Updates data deletion jobs, which have states of their own."""

    def __init__(self, app_context: AppContext) -> None:
        super().__init__(app_context, DataDeletionJob)

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status to IN_PROGRESS, and add to the payload when that was."""
        self._update(unit, job, Status.IN_PROGRESS)
        payload = read_payload(job, DataDeletionPayload)
        payload.began_at.FromDatetime(self._clock.now())
        job.payload = write_payload(payload)

    def succeeded(self, unit: Unit, job: Job, result: DataDeletionResult) -> None:
        """Set the status to COMPLETED, and record how many records were deleted."""
        row = self._update(unit, job, Status.COMPLETED)
        row.num_deleted = min(result.deleted_rows, _MAX_INTEGER)
        self._renew_snapshots(unit, row)
        if versions := list(result.solution_version_arns):
            fields = {"data_deletion_job_arn": job.subject, "solution_version_arns": versions}
            unit.after_commit(partial(_log.warning, "deleted_users_in_models", **fields))

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Set the status to FAILED, with the reason."""
        row = self._update(unit, job, Status.FAILED)
        row.failure_reason = reason
        self._renew_snapshots(unit, row)

    def _renew_snapshots(self, unit: Unit, row: DataDeletionJob) -> None:
        """Let snapshots of features be made anew: the deletion removes those of datasets with users."""
        for dataset in unit.find(Dataset, dataset_group_arn=row.dataset_group_arn, status=Status.ACTIVE):
            if dataset.features_location is not None:
                plan_snapshot(dataset, at=self._clock.now())


class TrainingListener(StatusListener[SolutionVersion, SolutionVersionTrainingResult]):
    """Updates solution versions, and the recommenders that wait for them."""

    def __init__(self, app_context: AppContext) -> None:
        super().__init__(app_context, SolutionVersion)

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status, and add to the payload the version to compare with: which is decided when training begins."""
        version = self._update(unit, job, Status.CREATE_IN_PROGRESS)
        payload = read_payload(job, SolutionVersionTrainingPayload)
        payload.ClearField("predecessor")
        if (champion := _champion(unit, version)) is not None:
            payload.predecessor.CopyFrom(champion)
        job.payload = write_payload(payload)
        follow_training(unit, version, self._clock.now())

    def succeeded(self, unit: Unit, job: Job, result: SolutionVersionTrainingResult) -> None:
        """Set the status to ACTIVE, and record metrics, evaluation and verdict."""
        version = self._update(unit, job, Status.ACTIVE)
        hours = result.training_hours if result.HasField("training_hours") else None
        version.training_hours = hours if hours is not None and math.isfinite(hours) else None
        # JSON has no others, neither in the database nor in responses.
        version.metrics = {name: value for name, value in result.metrics.items() if math.isfinite(value)}
        if len(version.metrics) < len(result.metrics):
            left_out = sorted(result.metrics.keys() - version.metrics.keys())
            fields = {"solution_version_arn": version.arn, "metrics": left_out}
            unit.after_commit(partial(_log.warning, "metrics_not_finite", **fields))
        version.artifact_bytes = result.artifact_bytes if result.HasField("artifact_bytes") else None
        version.evaluation = result.evaluation if result.HasField("evaluation") else None
        version.tuned_hyper_parameters = dict(result.tuned_hyper_parameters) or None
        if version.perform_auto_ml and result.recipe:
            version.recipe_arn = recipe_arn(RECIPES[result.recipe])
            solution = unit.get(Solution, version.solution_arn)
            assert solution is not None, "a foreign key holds it"
            solution.best_recipe_arn = version.recipe_arn
        version.verdict = verdict_of(version.evaluation)
        follow_training(unit, version, self._clock.now())

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Set the status to CREATE FAILED, with the reason."""
        super().failed(unit, job, reason)
        follow_training(unit, self._update(unit, job, Status.CREATE_FAILED), self._clock.now())

    def stopped(self, unit: Unit, job: Job) -> None:
        """Set the status to CREATE STOPPED; what an attempt left in the store is removed with the solution."""
        self._update(unit, job, Status.CREATE_STOPPED)


class UpdateListener:
    """Lets runtimes serve what updates of solution versions publish; the versions stay as they are otherwise."""

    def started(self, unit: Unit, job: Job) -> None:
        """Do nothing: nothing shows an update under way."""

    def succeeded(self, unit: Unit, job: Job, result: SolutionVersionUpdateResult) -> None:
        """Record until when the items are known, and let the artifact be served if there is a new one."""
        version = unit.get(SolutionVersion, job.subject)
        assert version is not None, "a version whose update runs is not deleted"
        version.items_updated_at = job.created_at
        if result.published:
            training = read_payload(job, SolutionVersionUpdatePayload).training
            version.updated_artifact_location = training.artifact_location
            version.artifact_bytes = result.artifact_bytes
            next_revision(unit)
        fields = {"solution_version_arn": version.arn, "published": result.published}
        unit.after_commit(partial(_log.info, "version_updated", **fields))

    def failed(self, unit: Unit, job: Job, reason: str) -> None:  # noqa: ARG002 - it may quote a caller's data
        """Log it: the version stays as it is, and the next update tries again."""
        unit.after_commit(partial(_log.warning, "version_not_updated", solution_version_arn=job.subject, job_id=job.id))

    def stopped(self, unit: Unit, job: Job) -> None:
        """Do nothing: what an attempt left in the store is removed with the solution."""


class MaintenanceListener:
    """Records what maintenance of a dataset group's storage counted, and lets it go on soon where it reached a bound.

    Args:
        app_context: The clock.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._clock = app_context.clock

    def started(self, unit: Unit, job: Job) -> None:
        """Do nothing: nothing shows maintenance under way."""

    def succeeded(self, unit: Unit, job: Job, result: StorageMaintenanceResult) -> None:
        """Record the count, and when the next job has to go on."""
        group = unit.get(DatasetGroup, job.subject)
        if group is not None and result.HasField("usage"):
            group.storage_usage = result.usage
        if group is not None and result.incomplete:
            soon = self._clock.now() + _CONTINUED_AFTER
            group.maintenance_due_at = min(soon, group.maintenance_due_at or soon)
        fields = {"removed_objects": result.removed_objects, "incomplete": result.incomplete}
        unit.after_commit(partial(_log.info, "storage_maintained", dataset_group_arn=job.subject, **fields))

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Log it: everything stays as it is, and the next job tries again."""
        unit.after_commit(
            partial(_log.warning, "storage_not_maintained", dataset_group_arn=job.subject, job_id=job.id, reason=reason)
        )

    def stopped(self, unit: Unit, job: Job) -> None:
        """Do nothing: what was put in order stays so."""


class SearchListener:
    """Updates searches for users, which may be gone with their dataset group before their job ends.

    Args:
        app_context: The clock.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._clock = app_context.clock

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status to CREATE IN_PROGRESS."""
        self._update(unit, job, Status.CREATE_IN_PROGRESS)

    def succeeded(self, unit: Unit, job: Job, result: UserSearchResult) -> None:
        """Set the status to ACTIVE, and keep what was found."""
        if (search := self._update(unit, job, Status.ACTIVE)) is not None:
            search.report = result.report

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Set the status to CREATE FAILED, with the reason."""
        if (search := self._update(unit, job, Status.CREATE_FAILED)) is not None:
            search.failure_reason = reason

    def stopped(self, unit: Unit, job: Job) -> None:  # noqa: ARG002 - the port's signature
        """Raise InvalidInput: the API has no operation that stops a search."""
        raise invalid("job", got=job.id, want="a job that can be stopped")

    def _update(self, unit: Unit, job: Job, status: Status) -> UserSearch | None:
        search = unit.get(UserSearch, job.subject)
        if search is not None:
            search.status = status
            search.last_updated_date_time = self._clock.now()
        return search


class FeaturesListener:
    """Tells runtimes of new snapshots of features; no resource shows their jobs.

    Args:
        app_context: The clock.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._clock = app_context.clock

    def started(self, unit: Unit, job: Job) -> None:
        """Give the job the dataset's schema as it is now: it may have waited while that was changed."""
        if (dataset := unit.get(Dataset, job.subject)) is not None:
            job.payload = write_payload(snapshot_payload(unit, dataset))

    def succeeded(self, unit: Unit, job: Job, result: FeatureSnapshotResult) -> None:
        """Record where the snapshot is, if it is another one than before."""
        dataset = unit.get(Dataset, job.subject)
        if dataset is None or not result.location or result.location == dataset.features_location:
            return
        dataset.features_location = result.location
        next_revision(unit)
        fields = {"dataset_arn": dataset.arn, "version": result.version, "rows": result.rows, "bytes": result.bytes}
        unit.after_commit(partial(_log.info, "features_published", **fields))

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Log it, and try again later: runtimes have the snapshot before meanwhile, or none."""
        if (dataset := unit.get(Dataset, job.subject)) is not None:
            plan_snapshot(dataset, at=self._clock.now() + _SNAPSHOT_RETRY)
        fields = {"dataset_arn": job.subject, "job_id": job.id, "reason": reason}
        unit.after_commit(partial(_log.warning, "features_not_published", **fields))

    def stopped(self, unit: Unit, job: Job) -> None:
        """Do nothing: whoever stopped it has planned another one, or deletes the dataset."""


class RemovalListener:
    """Removes the rows of deleted datasets, solutions and recommenders, after their folders in the store.

    The folders are remembered: they are removed once more later, see `control_plane.scheduler.storage`.

    Args:
        app_context: The clock.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._clock = app_context.clock

    def started(self, unit: Unit, job: Job) -> None:
        """Set the status to DELETE IN_PROGRESS."""
        if (row := self._resource(unit, job)) is not None:
            row.status = Status.DELETE_IN_PROGRESS
            row.last_updated_date_time = self._clock.now()

    def succeeded(self, unit: Unit, job: Job, result: StorageRemovalResult) -> None:  # noqa: ARG002 - the port's signature
        """Remove the resource, and the versions or import jobs that belong to it."""
        now = self._clock.now()
        for location in read_payload(job, StorageRemovalPayload).locations:
            folder = unit.get(RemovedFolder, location)
            if folder is None:
                self._remember(unit, job, location, due_at=now + LATE_WRITES)
            elif folder.deleted_at + LATE_WRITES <= now:
                unit.remove(folder)
        self._remove(unit, job)

    def failed(self, unit: Unit, job: Job, reason: str) -> None:
        """Remove the resource although folders may be left in the store; it is tried again every day."""
        folders = list(read_payload(job, StorageRemovalPayload).locations)
        for location in folders:
            if unit.get(RemovedFolder, location) is None:
                self._remember(unit, job, location, due_at=self._clock.now() + REMOVED_AGAIN_AFTER)
        fields = {"resource_arn": job.subject, "folders": folders, "reason": reason}
        unit.after_commit(partial(_log.error, "storage_left_behind", **fields))
        self._remove(unit, job)

    def stopped(self, unit: Unit, job: Job) -> None:  # noqa: ARG002 - the port's signature
        """Raise InvalidInput: the API has no operation that stops a deletion."""
        raise invalid("job", got=job.id, want="a job that can be stopped")

    def _remember(self, unit: Unit, job: Job, location: str, *, due_at: datetime) -> None:
        group_arn, now = job.dataset_group_arn, self._clock.now()
        unit.add(RemovedFolder(location=location, dataset_group_arn=group_arn, deleted_at=now, due_at=due_at))

    def _remove(self, unit: Unit, job: Job) -> None:
        row = self._resource(unit, job)
        if isinstance(row, Solution) and (recommender := unit.get(Recommender, row.arn)) is not None:
            for deployment in unit.find(Deployment, target_arn=row.arn):
                unit.remove(deployment)
            remove(unit, recommender)
        if isinstance(row, Solution):
            for version in unit.find(SolutionVersion, solution_arn=row.arn):
                for batch_table in (BatchInferenceJob, BatchSegmentJob):
                    for batch_job in unit.find(batch_table, solution_version_arn=version.arn):
                        remove(unit, batch_job)
                remove(unit, version)
        if isinstance(row, Dataset):
            for data_table in (DatasetImportJob, DatasetExportJob):
                for data_job in unit.find(data_table, dataset_arn=row.arn):
                    remove(unit, data_job)
        if row is not None:
            remove(unit, row)

    @staticmethod
    def _resource(unit: Unit, job: Job) -> Dataset | Solution | None:
        return unit.get(Dataset, job.subject) or unit.get(Solution, job.subject)


def _champion(unit: Unit, version: SolutionVersion) -> PredecessorVersion | None:
    """Return the version that a new one is compared with; None without one.

    It is the newest ACTIVE version of mode FULL whose own verdict is not WORSE: otherwise a bad version would lower the
    bar for the next. A recommender whose columns were changed is compared with none of before, for that is wanted.
    """
    for other in unit.find(
        SolutionVersion,
        solution_arn=version.solution_arn,
        status=Status.ACTIVE,
        training_mode="FULL",
        order=["-creation_date_time", "-arn"],
    ):
        if version.of_recommender and other.solution_config != version.solution_config:
            return None
        if other.verdict != Verdict.WORSE:
            return PredecessorVersion(solution_version_arn=other.arn, artifact_location=other.artifact_location)
    return None
