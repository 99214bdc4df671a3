"""What tracking ids and datasets that take records stand for, and what is counted of the events of dataset groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.schemas import DatasetType
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    AttributedMetric,
    Dataset,
    EventTracker,
    MetricAttribution,
    Solution,
)
from control_plane.resources.datasets import dataset_table
from control_plane.serving.revisions import current_revision
from control_plane.serving.targets import all_targets
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute, MetricAttributionOutput
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable, TrackedAttribution

__all__ = ["TrackedDataset", "TrackedGroup", "TrackerSet", "tracked_attribution", "tracked_group", "tracker_set"]

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
    """All ACTIVE trackers, datasets and metric attributions at one revision."""

    revision: int
    groups: tuple[TrackedGroup, ...]
    datasets: tuple[TrackedDataset, ...]
    attributions: tuple[TrackedAttribution, ...]


def tracker_set(unit: Unit) -> TrackerSet:
    """Return the current set of trackers, datasets and metric attributions."""
    trackers = unit.find(EventTracker, status=Status.ACTIVE, order=["arn"])
    attributions = unit.find(MetricAttribution, status=Status.ACTIVE, order=["arn"])
    datasets = unit.find(Dataset, dataset_type=_OF_RECORDS, status=Status.ACTIVE, order=["arn"])
    return TrackerSet(
        current_revision(unit),
        tuple(tracked_group(unit, tracker) for tracker in trackers),
        tuple(
            TrackedDataset(item.tracking_id or item.arn, item.dataset_group_arn, dataset_table(unit, item))
            for item in datasets
        ),
        tuple(tracked_attribution(unit, row) for row in attributions),
    )


def tracked_attribution(unit: Unit, row: MetricAttribution) -> TrackedAttribution:
    """Return what a metric attribution counts now, and where its reports go."""
    metrics = unit.find(AttributedMetric, metric_attribution_arn=row.arn, order=["metric_name"])
    solutions = {solution.arn for solution in unit.find(Solution, dataset_group_arn=row.dataset_group_arn)}
    targets = all_targets(unit, solution_arn=frozenset(solutions)) if solutions else ()
    output = row.metrics_output_config or MetricAttributionOutput()
    return TrackedAttribution(
        metric_attribution_arn=row.arn,
        created_millis=int(row.creation_date_time.timestamp() * 1000),
        dataset_group_arn=row.dataset_group_arn,
        metrics=[
            MetricAttribute(metric_name=item.metric_name, event_type=item.event_type, expression=item.expression)
            for item in metrics
        ],
        output_path=output.s3_data_destination.path or None,
        serving_arns=[target.arn for target in targets],
        items=_active_table(unit, row.dataset_group_arn, DatasetType.ITEMS),
    )


def tracked_group(unit: Unit, tracker: EventTracker) -> TrackedGroup:
    """Return a tracker with its dataset group and table."""
    table = _active_table(unit, tracker.dataset_group_arn, DatasetType.INTERACTIONS)
    return TrackedGroup(tracker.tracking_id, tracker.arn, tracker.dataset_group_arn, table)


def _active_table(unit: Unit, group_arn: str, dataset_type: DatasetType) -> DatasetTable | None:
    dataset = unit.first(Dataset, dataset_group_arn=group_arn, dataset_type=dataset_type, status=Status.ACTIVE)
    return None if dataset is None else dataset_table(unit, dataset)
