"""Deletions that wait until no events service takes events for what is deleted.

DeleteDataset and DeleteEventTracker make tracking ids stand for something else at once, but events services learn of it
a moment later, and have calls on their way. So a dataset's table is removed, and a tracker is gone, only when every
live events service has said that it uses no older set of trackers. Run whenever an events service says so and every few
seconds besides, since one that falls silent is waited for no more.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.states import Status
from control_plane.jobs.orders import enqueue
from control_plane.jobs.payloads import StorageRemoval
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, EventsService, EventTracker
from control_plane.resources.base import remove
from control_plane.serving.revisions import next_revision

__all__ = ["DeletionReconciler"]

_log = get_logger(__name__)
#: Events services that have been silent for so many times the liveness limit are forgotten.
_FORGET_AFTER: Final = 20


class DeletionReconciler:
    """Begins deletions, and lets them go on once all events services know.

    Args:
        environment: The clock.
        liveness_seconds: An events service that was not heard of for so long counts no more.
    """

    def __init__(self, environment: AppContext, *, liveness_seconds: float) -> None:
        self._environment = environment
        self._liveness = timedelta(seconds=liveness_seconds)
        self._began = environment.clock.now()

    def begin(self, unit: Unit, resource: Dataset | EventTracker) -> None:
        """Take an ACTIVE resource out of the set of trackers; it goes on at once where nobody follows the set."""
        resource.status = Status.DELETE_PENDING
        resource.last_updated_date_time = self._environment.clock.now()
        resource.deleted_revision = next_revision(unit)
        self.reconcile(unit)

    def reconcile(self, unit: Unit) -> None:
        """Let every deletion go on that all live events services know of, within a writing unit."""
        unit.flush()
        live = self._environment.clock.now() - self._liveness
        services = unit.find(EventsService)
        used = [service.in_use_revision or 0 for service in services if self._silent_since(service) >= live]
        oldest = min(used, default=math.inf)
        for dataset in unit.find(Dataset, status=Status.DELETE_PENDING):
            if dataset.deleted_revision is not None and dataset.deleted_revision <= oldest:
                dataset.deleted_revision = None
                removal = StorageRemoval((dataset.location,))
                enqueue(unit, self._environment, removal, subject=dataset.arn, group_arn=dataset.dataset_group_arn)
        for tracker in unit.find(EventTracker, status=Status.DELETE_PENDING):
            if (tracker.deleted_revision or 0) <= oldest:
                remove(unit, tracker)

    def forget_silent_services(self, unit: Unit) -> None:
        """Remove events services that have been gone for long."""
        limit = self._environment.clock.now() - self._liveness * _FORGET_AFTER
        for service in unit.find(EventsService):
            if self._silent_since(service) < limit:
                _log.info("events_service_forgotten", service_id=service.service_id)
                unit.remove(service)

    def _silent_since(self, service: EventsService) -> datetime:
        """Return since when a service has been silent; while nobody could hear it, it may have gone on."""
        return max(service.last_seen_at, self._began)
