"""The kinds of jobs, one entry each: what a trainer is given, what it returns, and who is told.

A new kind is an entry here, named like the member of `payload` and `result` in the contract, and a handler in the
trainer. Until a trainer with that handler runs, jobs of the kind wait: trainers lease what they have handlers for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from control_plane.app_context import AppContext
from control_plane.domain.jobs import JobKind
from control_plane.jobs.listeners import (
    DeletionListener,
    FeaturesListener,
    ImportListener,
    JobListener,
    MaintenanceListener,
    RemovalListener,
    SearchListener,
    StatusListener,
    TrainingListener,
    UpdateListener,
)
from control_plane.metadata_store.tables import BatchInferenceJob, BatchSegmentJob, DatasetExportJob
from protos.tailorbird.internal.v1 import jobs_pb2

__all__ = ["JOBS", "JobSpec", "kind_of"]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One kind of jobs.

    Attributes:
        kind: The kind.
        payload: Says what is to be done.
        result: Says what came of it.
        work: Name of the work, for failure reasons, e.g. `training`.
        listener: Makes what keeps the kind's resources in step.
    """

    kind: JobKind
    payload: type[Message]
    result: type[Message]
    work: str
    listener: Callable[[AppContext], JobListener[Any]]


_SPECS: Final = (
    JobSpec(
        JobKind.DATASET_IMPORT,
        jobs_pb2.DatasetImportPayload,
        jobs_pb2.DatasetImportResult,
        "import",
        ImportListener,
    ),
    JobSpec(
        JobKind.SOLUTION_VERSION_TRAINING,
        jobs_pb2.SolutionVersionTrainingPayload,
        jobs_pb2.SolutionVersionTrainingResult,
        "training",
        TrainingListener,
    ),
    JobSpec(
        JobKind.SOLUTION_VERSION_UPDATE,
        jobs_pb2.SolutionVersionUpdatePayload,
        jobs_pb2.SolutionVersionUpdateResult,
        "update",
        lambda _: UpdateListener(),
    ),
    JobSpec(
        JobKind.STORAGE_REMOVAL,
        jobs_pb2.StorageRemovalPayload,
        jobs_pb2.StorageRemovalResult,
        "removal of stored data",
        RemovalListener,
    ),
    JobSpec(
        JobKind.DATASET_EXPORT,
        jobs_pb2.DatasetExportPayload,
        jobs_pb2.DatasetExportResult,
        "export",
        lambda app_context: StatusListener(app_context, DatasetExportJob),
    ),
    JobSpec(
        JobKind.DATA_DELETION,
        jobs_pb2.DataDeletionPayload,
        jobs_pb2.DataDeletionResult,
        "deletion of data",
        DeletionListener,
    ),
    JobSpec(
        JobKind.BATCH_INFERENCE,
        jobs_pb2.BatchInferencePayload,
        jobs_pb2.BatchInferenceResult,
        "batch inference",
        lambda app_context: StatusListener(app_context, BatchInferenceJob),
    ),
    JobSpec(
        JobKind.BATCH_SEGMENT,
        jobs_pb2.BatchSegmentPayload,
        jobs_pb2.BatchSegmentResult,
        "batch segment",
        lambda app_context: StatusListener(app_context, BatchSegmentJob),
    ),
    JobSpec(
        JobKind.STORAGE_MAINTENANCE,
        jobs_pb2.StorageMaintenancePayload,
        jobs_pb2.StorageMaintenanceResult,
        "maintenance of stored data",
        MaintenanceListener,
    ),
    JobSpec(
        JobKind.USER_SEARCH,
        jobs_pb2.UserSearchPayload,
        jobs_pb2.UserSearchResult,
        "search for the user",
        SearchListener,
    ),
    JobSpec(
        JobKind.FEATURE_SNAPSHOT,
        jobs_pb2.FeatureSnapshotPayload,
        jobs_pb2.FeatureSnapshotResult,
        "snapshot of features",
        FeaturesListener,
    ),
)

#: Every kind whose jobs are submitted.
JOBS: Final[Mapping[JobKind, JobSpec]] = {spec.kind: spec for spec in _SPECS}
_BY_PAYLOAD: Final[Mapping[type[Message], JobKind]] = {spec.payload: spec.kind for spec in _SPECS}


def kind_of(payload: Message) -> JobKind:
    """Return the kind of job that a payload is for."""
    return _BY_PAYLOAD[type(payload)]
