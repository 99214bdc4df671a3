"""Builds the control plane from a database, a clock and limits, which are all given by the caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from common.process.long_poll import LongPolls
from common.rpc import Service
from common.telemetry import NO_FIGURES, Figures
from control_plane.app_context import AppContext
from control_plane.domain.schedules import AutomaticTraining
from control_plane.jobs.queue import JobQueue
from control_plane.maintenance import Maintenance
from control_plane.metadata_store import MetadataStore
from control_plane.pruning import Pruner
from control_plane.resources.batch_jobs import BatchInferenceJobs, BatchSegmentJobs
from control_plane.resources.campaigns import Campaigns
from control_plane.resources.data_jobs import DeletionJobs, ExportJobs
from control_plane.resources.datasets import DatasetGroups, Datasets, Schemas
from control_plane.resources.evaluations import Evaluations
from control_plane.resources.filters import Filters
from control_plane.resources.imports import ImportJobs
from control_plane.resources.job_statuses import JobStatuses
from control_plane.resources.metric_attributions import MetricAttributions
from control_plane.resources.recommenders import Recommenders
from control_plane.resources.solutions import Solutions
from control_plane.resources.storage import Storage
from control_plane.resources.tags import Tags
from control_plane.resources.trackers import EventTrackers
from control_plane.resources.user_searches import UserSearches
from control_plane.resources.versions import SolutionVersions
from control_plane.scheduler.features import FeatureScheduler
from control_plane.scheduler.scheduler import Scheduler
from control_plane.scheduler.storage import StorageScheduler
from control_plane.servicers.control.methods import Resources
from control_plane.servicers.control.servicer import CONTROL_PLANE_SERVICE, ControlPlaneServicer
from control_plane.servicers.evaluations import EVALUATION_SERVICE, EvaluationServicer
from control_plane.servicers.job_statuses import JOB_STATUS_SERVICE, JobStatusServicer
from control_plane.servicers.jobs import JOB_SERVICE, JobServicer
from control_plane.servicers.serving import SERVING_SERVICE, ServingServicer
from control_plane.servicers.storage import STORAGE_SERVICE, StorageServicer
from control_plane.servicers.trackers import TRACKER_SERVICE, TrackerServicer
from control_plane.servicers.user_searches import USER_SEARCH_SERVICE, UserSearchServicer
from control_plane.serving.assignment_service import AssignmentService
from control_plane.serving.latest_version_sync import LatestVersionSync
from control_plane.serving.reconciler import ServingReconciler
from control_plane.tracking.deletions import DeletionReconciler
from control_plane.tracking.watch import TrackerWatch
from protos.tailorbird.control.v1 import (
    control_plane_service_pb2_grpc,
    evaluation_service_pb2_grpc,
    job_status_service_pb2_grpc,
    storage_service_pb2_grpc,
    user_search_service_pb2_grpc,
)
from protos.tailorbird.internal.v1 import jobs_pb2_grpc, serving_pb2_grpc, trackers_pb2_grpc

__all__ = ["ControlPlane", "Timing", "assemble"]

#: Heartbeats of a waiting runtime worker that are written down within its liveness limit.
_HEARTBEATS_PER_LIVENESS: Final = 3
#: How often waiting calls look for changes by another control plane on the same database.
_LOOK_SECONDS: Final = 0.5
_AS_PERSONALIZE: Final = AutomaticTraining()


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations and limits of the parts; the settings of the same names say what each means."""

    lease_seconds: float = 60.0
    retry_seconds: float = 5.0
    runtime_liveness_seconds: float = 30.0
    runtime_loading_seconds: float = 900.0
    events_liveness_seconds: float = 30.0
    sweep_seconds: float = 2.0
    scheduler_lease_seconds: float = 60.0
    max_waiting: int = 200
    finished_job_hours: float = 720.0
    max_finished_jobs: int = 10_000
    storage_maintenance_hours: float = 24.0
    storage_retention_hours: int = 168
    import_report_hours: int = 720
    feature_snapshot_seconds: float = 60.0
    max_feature_snapshots: int = 10


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The parts that `__main__` and tests handle.

    Attributes:
        services: What the gRPC server serves.
        queue: The job queue.
        assignment_service: Assignments and reports of runtimes.
        maintenance: The background thread, not yet started.
        long_polls: The waiting calls; to be closed when the process stops.
    """

    services: tuple[Service, ...]
    queue: JobQueue
    assignment_service: AssignmentService
    maintenance: Maintenance
    long_polls: LongPolls


def assemble(
    metadata_store: MetadataStore,
    app_context: AppContext,
    timing: Timing,
    *,
    refuse_worse_versions: bool = True,
    automatic_training: AutomaticTraining = _AS_PERSONALIZE,
    figures: Figures = NO_FIGURES,
) -> ControlPlane:
    """Make a control plane.

    Args:
        metadata_store: An open database whose tables are up to date.
        app_context: Clock, ids, ARNs, quotas.
        timing: Durations and limits.
        refuse_worse_versions: Whether campaigns that follow their solution skip versions that are significantly worse.
        automatic_training: How solutions are trained that do not say.
        figures: Count how jobs end.
    """
    long_polls = LongPolls(metadata_store.changed, max_waiting=timing.max_waiting, look_seconds=_LOOK_SECONDS)
    queue = JobQueue(
        metadata_store,
        app_context,
        lease_seconds=timing.lease_seconds,
        retry_seconds=timing.retry_seconds,
        figures=figures,
    )
    latest_version_sync = LatestVersionSync(app_context, refuse_worse_versions=refuse_worse_versions)
    deletions = DeletionReconciler(app_context, liveness_seconds=timing.events_liveness_seconds)
    resources = _resources(
        app_context,
        latest_version_sync=latest_version_sync,
        deletions=deletions,
        automatic_training=automatic_training,
        snapshot_after=timedelta(seconds=timing.feature_snapshot_seconds),
    )
    reconciler, assignment_service = _serving(
        metadata_store, app_context, timing, latest_version_sync=latest_version_sync, long_polls=long_polls
    )
    storage = Storage(
        app_context, retention_hours=timing.storage_retention_hours, report_hours=timing.import_report_hours
    )
    services = _services(
        metadata_store,
        app_context,
        resources,
        storage=storage,
        queue=queue,
        assignment_service=assignment_service,
        tracker_watch=TrackerWatch(
            metadata_store,
            app_context,
            deletions=deletions,
            long_polls=long_polls,
            liveness_seconds=timing.events_liveness_seconds,
        ),
        long_polls=long_polls,
    )
    maintenance = _maintenance(
        metadata_store,
        app_context,
        timing,
        resources.versions,
        storage=storage,
        queue=queue,
        reconciler=reconciler,
        deletions=deletions,
    )
    return ControlPlane(services, queue, assignment_service, maintenance, long_polls)


def _serving(
    metadata_store: MetadataStore,
    app_context: AppContext,
    timing: Timing,
    *,
    latest_version_sync: LatestVersionSync,
    long_polls: LongPolls,
) -> tuple[ServingReconciler, AssignmentService]:
    reconciler = ServingReconciler(
        app_context,
        latest_version_sync=latest_version_sync,
        liveness_seconds=timing.runtime_liveness_seconds,
        loading_seconds=timing.runtime_loading_seconds,
    )
    assignment_service = AssignmentService(
        metadata_store,
        app_context,
        reconciler=reconciler,
        long_polls=long_polls,
        heartbeat_seconds=timing.runtime_liveness_seconds / _HEARTBEATS_PER_LIVENESS,
    )
    return reconciler, assignment_service


def _resources(
    app_context: AppContext,
    *,
    latest_version_sync: LatestVersionSync,
    deletions: DeletionReconciler,
    automatic_training: AutomaticTraining,
    snapshot_after: timedelta,
) -> Resources:
    """Return the operations on each kind of resource."""
    versions = SolutionVersions(app_context)
    return Resources(
        dataset_groups=DatasetGroups(app_context),
        schemas=Schemas(app_context),
        datasets=Datasets(app_context, deletions=deletions),
        imports=ImportJobs(app_context),
        exports=ExportJobs(app_context),
        deletions=DeletionJobs(app_context),
        filters=Filters(app_context),
        metric_attributions=MetricAttributions(app_context),
        solutions=Solutions(app_context, automatic_training=automatic_training),
        versions=versions,
        campaigns=Campaigns(app_context, latest_version_sync=latest_version_sync),
        recommenders=Recommenders(app_context, versions=versions),
        batch_inference=BatchInferenceJobs(app_context),
        batch_segments=BatchSegmentJobs(app_context),
        trackers=EventTrackers(app_context, deletions=deletions, snapshot_after=snapshot_after),
        tags=Tags(app_context),
    )


def _services(
    metadata_store: MetadataStore,
    app_context: AppContext,
    resources: Resources,
    *,
    storage: Storage,
    queue: JobQueue,
    assignment_service: AssignmentService,
    tracker_watch: TrackerWatch,
    long_polls: LongPolls,
) -> tuple[Service, ...]:
    """Return every service with its servicer."""
    return (
        Service(
            CONTROL_PLANE_SERVICE,
            control_plane_service_pb2_grpc.add_ControlPlaneServiceServicer_to_server,
            ControlPlaneServicer(metadata_store, resources),
        ),
        Service(
            EVALUATION_SERVICE,
            evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server,
            EvaluationServicer(metadata_store, Evaluations(app_context)),
        ),
        Service(
            USER_SEARCH_SERVICE,
            user_search_service_pb2_grpc.add_UserSearchServiceServicer_to_server,
            UserSearchServicer(metadata_store, UserSearches(app_context)),
        ),
        Service(
            JOB_STATUS_SERVICE,
            job_status_service_pb2_grpc.add_JobStatusServiceServicer_to_server,
            JobStatusServicer(metadata_store, JobStatuses()),
        ),
        Service(
            STORAGE_SERVICE,
            storage_service_pb2_grpc.add_StorageServiceServicer_to_server,
            StorageServicer(metadata_store, storage),
        ),
        Service(JOB_SERVICE, jobs_pb2_grpc.add_JobServiceServicer_to_server, JobServicer(queue, long_polls)),
        Service(
            SERVING_SERVICE,
            serving_pb2_grpc.add_ServingServiceServicer_to_server,
            ServingServicer(assignment_service),
        ),
        Service(
            TRACKER_SERVICE,
            trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
            TrackerServicer(metadata_store, resources.trackers, tracker_watch),
        ),
    )


def _maintenance(
    metadata_store: MetadataStore,
    app_context: AppContext,
    timing: Timing,
    versions: SolutionVersions,
    *,
    storage: Storage,
    queue: JobQueue,
    reconciler: ServingReconciler,
    deletions: DeletionReconciler,
) -> Maintenance:
    """Return what happens from time to time without a call."""
    return Maintenance(
        metadata_store,
        queue=queue,
        reconciler=reconciler,
        deletions=deletions,
        scheduler=Scheduler(metadata_store, app_context, versions, lease_seconds=timing.scheduler_lease_seconds),
        storage=StorageScheduler(metadata_store, app_context, storage, every_hours=timing.storage_maintenance_hours),
        features=FeatureScheduler(metadata_store, app_context, max_pending=timing.max_feature_snapshots),
        pruner=Pruner(
            metadata_store,
            app_context,
            finished_job_hours=timing.finished_job_hours,
            max_finished_jobs=timing.max_finished_jobs,
        ),
        every_seconds=timing.sweep_seconds,
    )
