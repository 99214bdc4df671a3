"""The tables of the metadata store: every resource, the job queue, and what runtimes and events services report.

Everybody takes them from here, so that all tables are known wherever one is. Columns have Personalize's member names in
snake_case wherever a caller sees them, so that rows are turned into responses by name. Nothing outside of
`metadata_store` writes SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlmodel import SQLModel

from control_plane.metadata_store.tables.base import AnyResource, JobResource, Owned
from control_plane.metadata_store.tables.batch_jobs import BatchInferenceJob, BatchJob, BatchSegmentJob
from control_plane.metadata_store.tables.data_jobs import (
    DataDeletionJob,
    DatasetExportJob,
    DatasetImportJob,
    UserSearch,
)
from control_plane.metadata_store.tables.datasets import Dataset, DatasetGroup, DatasetSchema
from control_plane.metadata_store.tables.filters import Filter
from control_plane.metadata_store.tables.jobs import Job, JobAttempt
from control_plane.metadata_store.tables.metric_attributions import AttributedMetric, MetricAttribution
from control_plane.metadata_store.tables.removals import RemovedFolder
from control_plane.metadata_store.tables.scheduling import Schedule, SchedulerLease
from control_plane.metadata_store.tables.serving import (
    Campaign,
    Deployment,
    Recommender,
    RuntimeWorker,
    ServingReport,
    ServingRevision,
    ServingTarget,
)
from control_plane.metadata_store.tables.solutions import Solution, SolutionVersion
from control_plane.metadata_store.tables.tags import Tag
from control_plane.metadata_store.tables.tracking import EventsService, EventTracker

__all__ = [
    "HEARTBEAT_COLUMNS",
    "AnyResource",
    "AttributedMetric",
    "BatchInferenceJob",
    "BatchJob",
    "BatchSegmentJob",
    "Campaign",
    "DataDeletionJob",
    "Dataset",
    "DatasetExportJob",
    "DatasetGroup",
    "DatasetImportJob",
    "DatasetSchema",
    "Deployment",
    "EventTracker",
    "EventsService",
    "Filter",
    "Job",
    "JobAttempt",
    "JobResource",
    "MetricAttribution",
    "Owned",
    "Recommender",
    "RemovedFolder",
    "RuntimeWorker",
    "Schedule",
    "SchedulerLease",
    "ServingReport",
    "ServingRevision",
    "ServingTarget",
    "Solution",
    "SolutionVersion",
    "Tag",
    "UserSearch",
]

#: Columns that heartbeats change; no waiting call is interested in them.
HEARTBEAT_COLUMNS: Final[Mapping[type[SQLModel], frozenset[str]]] = {
    Dataset: frozenset({"rows_streamed_at", "features_due_at"}),
    DatasetGroup: frozenset({"maintenance_due_at", "storage_usage"}),
    EventsService: frozenset({"last_seen_at"}),
    Job: frozenset({"lease_expires_at", "progress", "activity", "training"}),
    JobAttempt: frozenset({"last_sign_at"}),
    RuntimeWorker: frozenset({"last_seen_at"}),
    Schedule: frozenset({"last_run_at", "next_run_at", "postponed_by"}),
    SchedulerLease: frozenset({"owner", "expires_at"}),
}
