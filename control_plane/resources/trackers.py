"""Event trackers, and what a tracking id stands for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import ResourceNotFound
from control_plane.catalogue.tables import Dataset, DatasetGroup, EventTracker
from control_plane.domain.fields import already_exists, check_name, check_tags
from control_plane.domain.schemas import DatasetType
from control_plane.domain.states import Status
from control_plane.jobs.payloads import DatasetTable
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    remove,
    require_active,
)
from control_plane.resources.datasets import dataset_table
from control_plane.serving.revisions import next_revision

__all__ = ["EventTrackers", "ResolvedTracker"]


@dataclass(frozen=True, slots=True)
class ResolvedTracker:
    """Where the events of a tracking id belong; no table while the group has no Interactions dataset."""

    event_tracker_arn: str
    dataset_group_arn: str
    interactions: DatasetTable | None


class EventTrackers(ResourceOperations):
    """Operations on event trackers."""

    def create(self, name: str, *, dataset_group_arn: str, tags: Sequence[tuple[str, str]] = ()) -> EventTracker:
        """Create the event tracker of a dataset group.

        Raises:
            InvalidInput: A field is malformed.
            ResourceNotFound: The group does not exist.
            ResourceAlreadyExists: The group has a tracker.
            ResourceInUse: The group is not ACTIVE.
        """
        check_name("name", name)
        checked_tags = check_tags(tags)
        now = self._now()
        with self._catalogue.write() as unit:
            group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
            require_active(group.status, group.arn, field="datasetGroupArn")
            twin = unit.first(EventTracker, dataset_group_arn=group.arn)
            if twin is not None:
                told = f"Dataset group {group.arn} has the event tracker {twin.name} already, and may have one."
                raise already_exists(twin.arn, told)
            tracker = EventTracker(
                arn=self._arn("event-tracker", self._short_id()),
                name=name,
                dataset_group_arn=group.arn,
                tracking_id=str(uuid.UUID(hex=self._environment.new_id())),
                account_id=self._environment.arns.account,
                creation_date_time=now,
                last_updated_date_time=now,
            )
            insert(unit, tracker, tags=checked_tags)
            # Runtimes follow the events of the trackers that their assignments name.
            next_revision(unit)
        return tracker

    def describe(self, arn: str) -> EventTracker:
        """Return an event tracker; errors as of `fetch`."""
        with self._catalogue.read() as unit:
            return fetch(unit, EventTracker, arn, field="eventTrackerArn", kind="event-tracker")

    def list(self, request: PageRequest, *, dataset_group_arn: str | None) -> Page[EventTracker]:
        """Return a page of the event trackers of a group, or of all."""
        return list_page(self._catalogue, EventTracker, request, filters={"dataset_group_arn": dataset_group_arn})

    def delete(self, arn: str) -> None:
        """Delete an event tracker; the dataset and the events in it stay."""
        with self._catalogue.write() as unit:
            remove(unit, fetch(unit, EventTracker, arn, field="eventTrackerArn", kind="event-tracker"))
            next_revision(unit)

    def resolve(self, tracking_id: str) -> ResolvedTracker:
        """Return what a tracking id stands for.

        Raises:
            ResourceNotFound: No ACTIVE tracker carries it.
        """
        with self._catalogue.read() as unit:
            tracker = unit.first(EventTracker, tracking_id=tracking_id, status=Status.ACTIVE)
            if tracker is None:
                raise ResourceNotFound(f"`trackingId`: got {tracking_id[:64]!r}, want that of an ACTIVE event tracker")
            dataset = unit.first(
                Dataset,
                dataset_group_arn=tracker.dataset_group_arn,
                dataset_type=DatasetType.INTERACTIONS,
                status=Status.ACTIVE,
            )
            table = dataset_table(unit, dataset) if dataset is not None else None
            return ResolvedTracker(tracker.arn, tracker.dataset_group_arn, table)
