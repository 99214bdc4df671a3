"""Deletions of datasets and event trackers, which wait until no events service takes events for them.

DeleteDataset and DeleteEventTracker change the set of trackers at once, but events services learn of it a moment later
and have calls in progress. So a dataset's table is removed, and a tracker's row deleted, only when every live events
service has reported that it uses no older set; a table not before a snapshot of its features has ended that was being
made. Runs after every such report and every few seconds besides, because deletions do not wait for events services that
have become silent.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from common.feature_folders import features_folder
from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED
from control_plane.domain.states import Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, EventsService, EventTracker, Job
from control_plane.resources.base import remove
from control_plane.resources.features import WITH_FEATURES
from control_plane.serving.revisions import next_revision
from protos.tailorbird.internal.v1.jobs_pb2 import StorageRemovalPayload

__all__ = ["DeletionReconciler"]

_log = get_logger(__name__)
#: Events services are removed when they have been silent for so many times the liveness limit.
_REMOVE_AFTER: Final = 20


class DeletionReconciler:
    """Begins deletions, and finishes them when all live events services know of them.

    Args:
        app_context: Clock and ids.
        liveness_seconds: Events services without a call for so long do not count.
    """

    def __init__(self, app_context: AppContext, *, liveness_seconds: float) -> None:
        self._app_context = app_context
        self._liveness = timedelta(seconds=liveness_seconds)
        self._started_at = app_context.clock.now()

    def begin(self, unit: Unit, resource: Dataset | EventTracker) -> None:
        """Begin to delete an ACTIVE resource, which takes it out of the set of trackers.

        Without live events services it continues at once.
        """
        resource.status = Status.DELETE_PENDING
        resource.last_updated_date_time = self._app_context.clock.now()
        resource.deleted_revision = next_revision(unit)
        self.reconcile(unit)

    def reconcile(self, unit: Unit) -> None:
        """Continue every deletion that all live events services know of, within a writing unit."""
        unit.flush()
        live_since = self._app_context.clock.now() - self._liveness
        services = unit.find(EventsService)
        in_use = [service.in_use_revision or 0 for service in services if self._silent_since(service) >= live_since]
        oldest_in_use = min(in_use, default=math.inf)
        for dataset in unit.find(Dataset, status=Status.DELETE_PENDING):
            if dataset.deleted_revision is None or dataset.deleted_revision > oldest_in_use:
                continue
            if unit.first(Job, subject=dataset.arn, state=UNFINISHED) is None:
                dataset.deleted_revision = None
                folders = [dataset.location]
                if dataset.dataset_type in WITH_FEATURES:
                    folders.append(features_folder(dataset.location))
                removal = StorageRemovalPayload(locations=folders)
                enqueue(unit, self._app_context, removal, subject=dataset.arn, group_arn=dataset.dataset_group_arn)
        for tracker in unit.find(EventTracker, status=Status.DELETE_PENDING):
            if (tracker.deleted_revision or 0) <= oldest_in_use:
                remove(unit, tracker)

    def remove_silent_services(self, unit: Unit) -> None:
        """Remove events services that have been silent for long."""
        limit = self._app_context.clock.now() - self._liveness * _REMOVE_AFTER
        for service in unit.find(EventsService):
            if self._silent_since(service) < limit:
                unit.remove(service)
                unit.after_commit(partial(_log.info, "events_service_forgotten", service_id=service.service_id))

    def _silent_since(self, service: EventsService) -> datetime:
        """Return when a service was last known to be alive: not before this process, which it could not call."""
        return max(service.last_seen_at, self._started_at)
