"""What events services call: they watch the set of trackers, and say which revisions of it they use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from common.process.long_poll import LongPolls
from control_plane.app_context import AppContext
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import EventsService
from control_plane.serving.revisions import current_revision
from control_plane.tracking.deletions import DeletionReconciler
from control_plane.tracking.trackers import TrackerSet, tracker_set

__all__ = ["TrackerSubscriber", "TrackerWatch"]

_LEASES_PER_LIVENESS = 2
_HEARTBEATS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class TrackerSubscriber:
    """An events service that watches the trackers.

    Attributes:
        service_id: Its name.
        revision: Revision of the set that it has; None for none.
        in_use_revision: Revision of the oldest set that its running calls use; None for none.
    """

    service_id: str
    revision: int | None
    in_use_revision: int | None


class TrackerWatch:
    """Returns the set of trackers to events services, and records which revisions they use.

    Args:
        metadata_store: Keeps the trackers and the events services.
        app_context: The clock.
        deletions: Continued when a service has learnt of them.
        long_polls: Hold the calls of watching services.
        liveness_seconds: Events services without a call for so long do not count. A service may rely on a response for
            half of that time (`lease_seconds`); the rest covers heartbeats that are not written, and calls in progress.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        app_context: AppContext,
        *,
        deletions: DeletionReconciler,
        long_polls: LongPolls,
        liveness_seconds: float,
    ) -> None:
        self._metadata_store = metadata_store
        self._clock = app_context.clock
        self._deletions = deletions
        self._long_polls = long_polls
        self.lease_seconds = liveness_seconds / _LEASES_PER_LIVENESS
        self._heartbeat_seconds = self.lease_seconds / _HEARTBEATS_PER_LEASE

    async def watch(self, subscriber: TrackerSubscriber, *, wait_seconds: float) -> TrackerSet | None:
        """Return the set of trackers as soon as it differs from that of the subscriber; None when the time is over.

        Args:
            subscriber: The events service.
            wait_seconds: How long to wait for a change at most.
        """
        await asyncio.to_thread(self._record_heartbeat, subscriber)

        def read_if_changed() -> TrackerSet | None:
            return self._metadata_store.view(
                lambda unit: None if current_revision(unit) == subscriber.revision else tracker_set(unit)
            )

        return await self._long_polls.until(read_if_changed, seconds=wait_seconds)

    def _record_heartbeat(self, subscriber: TrackerSubscriber) -> None:
        """Record that a service is alive and what it uses; not more often than needed, since commits are slow."""
        now = self._clock.now()
        stored = self._metadata_store.view(lambda unit: unit.get(EventsService, subscriber.service_id))
        if stored is not None and stored.in_use_revision == subscriber.in_use_revision:
            age = (now - stored.last_seen_at).total_seconds()
            if age < self._heartbeat_seconds:
                return

        def record(unit: Unit) -> None:
            service = unit.get(EventsService, subscriber.service_id)
            if service is None:
                service = EventsService(service_id=subscriber.service_id, last_seen_at=now)
                unit.add(service)
            service.last_seen_at = now
            if service.in_use_revision != subscriber.in_use_revision:
                service.in_use_revision = subscriber.in_use_revision
                self._deletions.reconcile(unit)

        self._metadata_store.transact(record)
