"""Puts the control plane together from its parts, all of them given by the caller."""

from __future__ import annotations

from dataclasses import dataclass

from common.process.long_poll import LongPolls
from common.rpc import Service
from control_plane.app_context import AppContext
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.states import JobKind
from control_plane.maintenance import Maintenance
from control_plane.metadata_store import MetadataStore
from control_plane.pruning import Pruner
from control_plane.resources.campaigns import Campaigns
from control_plane.resources.datasets import DatasetGroups, Datasets, Schemas
from control_plane.resources.evaluations import Evaluations
from control_plane.resources.imports import ImportJobs, ImportListener
from control_plane.resources.removals import RemovalListener
from control_plane.resources.solutions import Solutions
from control_plane.resources.tags import Tags
from control_plane.resources.trackers import EventTrackers
from control_plane.resources.versions import SolutionVersions, TrainingListener
from control_plane.servicers.control import SERVICE, ControlPlaneServicer
from control_plane.servicers.evaluations import EVALUATION_SERVICE, EvaluationServicer
from control_plane.servicers.jobs import JobServicer
from control_plane.servicers.operations import Resources
from control_plane.servicers.serving import ServingServicer
from control_plane.servicers.trackers import TrackerServicer
from control_plane.serving.assignment_service import AssignmentService
from control_plane.serving.latest_version_sync import LatestVersionSync
from control_plane.serving.reconciler import ServingReconciler
from control_plane.tracking.deletions import DeletionReconciler
from control_plane.tracking.watch import TrackerWatch
from protos.tailorbird.control.v1 import control_plane_service_pb2_grpc, evaluation_service_pb2_grpc
from protos.tailorbird.internal.v1 import (
    jobs_pb2,
    jobs_pb2_grpc,
    serving_pb2,
    serving_pb2_grpc,
    trackers_pb2,
    trackers_pb2_grpc,
)

__all__ = ["ControlPlane", "Timing", "assemble"]

_SIGNS_PER_LIVENESS = 3
#: How often calls that wait look for what another control plane on the same database has changed.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds and numbers that parts wait by; the settings of the same names say what each means."""

    lease_seconds: float = 60.0
    retry_seconds: float = 5.0
    runtime_liveness_seconds: float = 30.0
    runtime_loading_seconds: float = 900.0
    events_liveness_seconds: float = 30.0
    sweep_seconds: float = 2.0
    max_waiting: int = 200
    finished_job_hours: float = 720.0
    max_finished_jobs: int = 10_000


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The parts that somebody outside handles: what is served, the thread beside it, and those who wait."""

    services: tuple[Service, ...]
    queue: JobQueue
    board: AssignmentService
    housekeeper: Maintenance
    polls: LongPolls


def assemble(
    catalogue: MetadataStore, environment: AppContext, timing: Timing, *, refuse_worse_versions: bool = True
) -> ControlPlane:
    """Make a control plane.

    Args:
        catalogue: Open, with its tables up to date.
        environment: Clock, ids, ARNs, quotas.
        timing: What parts wait by.
        refuse_worse_versions: Campaigns take no versions by themselves that are significantly worse.
    """
    polls = LongPolls(catalogue.changed, max_waiting=timing.max_waiting, look_seconds=_LOOK_SECONDS)
    following = LatestVersionSync(environment, refuse_worse_versions=refuse_worse_versions)
    settlement = ServingReconciler(
        environment,
        following=following,
        liveness_seconds=timing.runtime_liveness_seconds,
        loading_seconds=timing.runtime_loading_seconds,
    )
    board = AssignmentService(
        catalogue,
        environment,
        settlement=settlement,
        polls=polls,
        sign_seconds=timing.runtime_liveness_seconds / _SIGNS_PER_LIVENESS,
    )
    queue = _queue(catalogue, environment, timing)
    deletions = DeletionReconciler(environment, liveness_seconds=timing.events_liveness_seconds)
    resources = Resources(
        dataset_groups=DatasetGroups(catalogue, environment),
        schemas=Schemas(catalogue, environment),
        datasets=Datasets(catalogue, environment, deletions=deletions),
        imports=ImportJobs(catalogue, environment),
        solutions=Solutions(catalogue, environment),
        versions=SolutionVersions(catalogue, environment),
        campaigns=Campaigns(catalogue, environment, following=following),
        trackers=EventTrackers(catalogue, environment, deletions=deletions),
        tags=Tags(catalogue, environment),
    )
    evaluations = Evaluations(catalogue, environment)
    watch = TrackerWatch(
        catalogue,
        environment,
        deletions=deletions,
        polls=polls,
        liveness_seconds=timing.events_liveness_seconds,
    )
    services = _services(resources, evaluations, queue=queue, board=board, polls=polls, watch=watch)
    pruner = Pruner(
        catalogue,
        environment,
        finished_job_hours=timing.finished_job_hours,
        max_finished_jobs=timing.max_finished_jobs,
    )
    housekeeper = Maintenance(
        catalogue,
        queue=queue,
        settlement=settlement,
        deletions=deletions,
        pruner=pruner,
        every_seconds=timing.sweep_seconds,
    )
    return ControlPlane(services, queue, board, housekeeper, polls)


def _queue(catalogue: MetadataStore, environment: AppContext, timing: Timing) -> JobQueue:
    """Return the queue, with those who follow what becomes of each kind of job."""
    return JobQueue(
        catalogue,
        environment,
        owners={
            JobKind.DATASET_IMPORT: ImportListener(environment),
            JobKind.SOLUTION_VERSION_TRAINING: TrainingListener(environment),
            JobKind.STORAGE_REMOVAL: RemovalListener(),
        },
        lease_seconds=timing.lease_seconds,
        retry_seconds=timing.retry_seconds,
    )


def _services(
    resources: Resources,
    evaluations: Evaluations,
    *,
    queue: JobQueue,
    board: AssignmentService,
    polls: LongPolls,
    watch: TrackerWatch,
) -> tuple[Service, ...]:
    """Return what is served."""
    return (
        Service(
            SERVICE,
            control_plane_service_pb2_grpc.add_ControlPlaneServiceServicer_to_server,
            ControlPlaneServicer(resources),
        ),
        Service(
            EVALUATION_SERVICE,
            evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server,
            EvaluationServicer(evaluations),
        ),
        Service(
            jobs_pb2.DESCRIPTOR.services_by_name["JobService"],
            jobs_pb2_grpc.add_JobServiceServicer_to_server,
            JobServicer(queue, polls),
        ),
        Service(
            serving_pb2.DESCRIPTOR.services_by_name["ServingService"],
            serving_pb2_grpc.add_ServingServiceServicer_to_server,
            ServingServicer(board),
        ),
        Service(
            trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
            trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
            TrackerServicer(resources.trackers, watch),
        ),
    )
