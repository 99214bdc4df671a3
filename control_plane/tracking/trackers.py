"""The dataset group and table that the events of each tracking id, and the records of each dataset, belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.schemas import DatasetType
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, EventTracker
from control_plane.resources.datasets import dataset_table
from control_plane.serving.revisions import current_revision
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable

__all__ = ["TrackedDataset", "TrackedGroup", "TrackerSet", "tracked_group", "tracker_set"]

#: Types of datasets that take records without an event tracker.
_OF_RECORDS: Final = frozenset(
    {DatasetType.ITEMS, DatasetType.USERS, DatasetType.ACTIONS, DatasetType.ACTION_INTERACTIONS}
)


@dataclass(frozen=True, slots=True)
class TrackedGroup:
    """An event tracker with its dataset group.

    Attributes:
        tracking_id: The id that events are sent with.
        event_tracker_arn: ARN of the tracker.
        dataset_group_arn: ARN of its dataset group.
        interactions: Table of the group's ACTIVE Interactions dataset; None while it has none.
    """

    tracking_id: str
    event_tracker_arn: str
    dataset_group_arn: str
    interactions: DatasetTable | None


@dataclass(frozen=True, slots=True)
class TrackedDataset:
    """A dataset that takes single records.

    Attributes:
        key: Its ARN, by which items, users and actions are sent; its tracking id, by which action interactions are.
        dataset_group_arn: ARN of its dataset group.
        table: Its table.
    """

    key: str
    dataset_group_arn: str
    table: DatasetTable


@dataclass(frozen=True, slots=True)
class TrackerSet:
    """All ACTIVE trackers and datasets at one revision."""

    revision: int
    groups: tuple[TrackedGroup, ...]
    datasets: tuple[TrackedDataset, ...]


def tracker_set(unit: Unit) -> TrackerSet:
    """Return the current set of trackers and datasets."""
    trackers = unit.find(EventTracker, status=Status.ACTIVE, order=["arn"])
    datasets = unit.find(Dataset, dataset_type=_OF_RECORDS, status=Status.ACTIVE, order=["arn"])
    return TrackerSet(
        current_revision(unit),
        tuple(tracked_group(unit, tracker) for tracker in trackers),
        tuple(
            TrackedDataset(item.tracking_id or item.arn, item.dataset_group_arn, dataset_table(unit, item))
            for item in datasets
        ),
    )


def tracked_group(unit: Unit, tracker: EventTracker) -> TrackedGroup:
    """Return a tracker with its dataset group and table."""
    dataset = unit.first(
        Dataset,
        dataset_group_arn=tracker.dataset_group_arn,
        dataset_type=DatasetType.INTERACTIONS,
        status=Status.ACTIVE,
    )
    table = dataset_table(unit, dataset) if dataset is not None else None
    return TrackedGroup(tracker.tracking_id, tracker.arn, tracker.dataset_group_arn, table)
