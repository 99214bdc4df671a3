"""Snapshots of the features of datasets: when the next one is due, and what its job is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.jobs import JobKind, JobState
from control_plane.domain.schemas import DatasetType
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetSchema, Job
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable, FeatureSnapshotPayload

__all__ = ["WITH_FEATURES", "plan_after_rows", "plan_snapshot", "snapshot_payload"]

#: The datasets that have one row for each id.
WITH_FEATURES: Final = frozenset({DatasetType.ITEMS, DatasetType.USERS, DatasetType.ACTIONS})
#: Streamed rows wait for that many times as long as the last snapshot took: each one goes over the whole table.
_REST: Final = 9


def plan_after_rows(unit: Unit, dataset: Dataset, *, now: datetime, pause: timedelta) -> None:
    """Let a snapshot be made of streamed rows, after a pause, or after a longer one where snapshots take long.

    Args:
        unit: A writing unit.
        dataset: Of any type.
        now: The present moment.
        pause: From now.
    """
    if dataset.dataset_type not in WITH_FEATURES or dataset.features_due_at is not None:
        return
    last = unit.first(
        Job, subject=dataset.arn, kind=JobKind.FEATURE_SNAPSHOT, state=JobState.SUCCEEDED, order=["-finished_at"]
    )
    at = now + pause
    if last is not None and last.leased_at is not None and last.finished_at is not None:
        at = max(at, last.finished_at + _REST * (last.finished_at - last.leased_at))
    plan_snapshot(dataset, at=at)


def plan_snapshot(dataset: Dataset, *, at: datetime) -> None:
    """Let a snapshot of a dataset be made at some moment, or before that if it is due earlier.

    Args:
        dataset: Of any type; those without features have no snapshots.
        at: When.
    """
    is_later = dataset.features_due_at is None or dataset.features_due_at > at
    if dataset.dataset_type in WITH_FEATURES and is_later:
        dataset.features_due_at = at


def snapshot_payload(unit: Unit, dataset: Dataset) -> FeatureSnapshotPayload:
    """Return what the job that makes the snapshot of a dataset is told."""
    schema = unit.get(DatasetSchema, dataset.schema_arn)
    assert schema is not None, "a foreign key holds it"
    return FeatureSnapshotPayload(
        table=DatasetTable(dataset_type=dataset.dataset_type, location=dataset.location, schema=schema.schema_text),
        streamed=dataset.rows_streamed_at is not None,
    )
