"""Operations on event trackers, and the look-up of tracking ids."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from common.errors import ResourceNotFound
from control_plane.app_context import AppContext
from control_plane.domain.fields import already_exists, check_name, check_tags
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetGroup, EventTracker
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    require_active,
)
from control_plane.resources.datasets import dataset_table
from control_plane.resources.features import plan_after_rows
from control_plane.serving.revisions import next_revision
from control_plane.tracking.deletions import DeletionReconciler
from control_plane.tracking.trackers import TrackedGroup, tracked_group

__all__ = ["EventTrackers"]

_NOTE_INTERVAL: Final = timedelta(minutes=1)


class EventTrackers(ResourceOperations):
    """Operations on event trackers.

    Args:
        app_context: Clock, ids, ARNs and quotas.
        deletions: Delays deletions until no events service takes events for the tracker.
        snapshot_after: How long after rows a snapshot of features is made that has them.
    """

    def __init__(self, app_context: AppContext, *, deletions: DeletionReconciler, snapshot_after: timedelta) -> None:
        super().__init__(app_context)
        self._deletions = deletions
        self._snapshot_after = snapshot_after

    def create(
        self, unit: Unit, name: str, *, dataset_group_arn: str, tags: Sequence[tuple[str, str]] = ()
    ) -> EventTracker:
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
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        existing = unit.first(EventTracker, dataset_group_arn=group.arn)
        if existing is not None:
            extra = f"Dataset group {group.arn} has the event tracker {existing.name} already, and may have one."
            raise already_exists(existing.arn, extra)
        tracker = EventTracker(
            arn=self._arn(unit, "event-tracker", self._short_id()),
            name=name,
            dataset_group_arn=group.arn,
            tracking_id=str(uuid.UUID(hex=self._app_context.new_id())),
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, tracker, tags=checked_tags)
        # Runtimes read the events of the trackers that their assignments name.
        next_revision(unit)
        return tracker

    def describe(self, unit: Unit, arn: str) -> EventTracker:
        """Return an event tracker; errors as of `fetch`."""
        return fetch(unit, EventTracker, arn, field="eventTrackerArn", kind="event-tracker")

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[EventTracker]:
        """Return a page of the event trackers of a group, or of all."""
        return list_page(unit, EventTracker, request, filters={"dataset_group_arn": dataset_group_arn})

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete an event tracker; its row is removed when no events service takes events for it any more.

        The dataset and the events in it stay.

        Raises:
            ResourceInUse: It is being deleted already.
        """
        tracker = fetch(unit, EventTracker, arn, field="eventTrackerArn", kind="event-tracker")
        require_active(tracker.status, arn, field="eventTrackerArn")
        self._deletions.begin(unit, tracker)

    def resolve(self, unit: Unit, tracking_id: str) -> TrackedGroup:
        """Return the tracker of a tracking id, with its dataset group and table.

        Raises:
            ResourceNotFound: No ACTIVE tracker has the id.
        """
        tracker = unit.first(EventTracker, tracking_id=tracking_id, status=Status.ACTIVE)
        if tracker is None:
            raise ResourceNotFound(f"`trackingId`: got {tracking_id[:64]!r}, want that of an ACTIVE event tracker")
        return tracked_group(unit, tracker)

    @staticmethod
    def active_tables(unit: Unit, locations: Collection[str], *, with_schemas: bool) -> dict[str, str]:
        """Return those of some locations at which ACTIVE datasets have their tables, with schemas or without."""
        datasets = unit.find(Dataset, location=frozenset(locations), status=Status.ACTIVE)
        return {dataset.location: dataset_table(unit, dataset).schema if with_schemas else "" for dataset in datasets}

    def note_rows(self, unit: Unit, locations: Collection[str]) -> None:
        """Note that rows are about to be written to tables, within a writing unit.

        A note says when rows came, to within a minute: events services write often.
        """
        now = self._now()
        for dataset in unit.find(Dataset, location=set(locations), status=Status.ACTIVE):
            if dataset.rows_streamed_at is None or now - dataset.rows_streamed_at >= _NOTE_INTERVAL:
                dataset.rows_streamed_at = now
            plan_after_rows(unit, dataset, now=now, pause=self._snapshot_after)
