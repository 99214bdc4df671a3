"""What events services call: watching the set of trackers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from common.process.long_poll import LongPolls
from control_plane.app_context import AppContext
from control_plane.metadata_store import MetadataStore
from control_plane.metadata_store.tables import EventsService
from control_plane.serving.revisions import current_revision
from control_plane.tracking.deletions import DeletionReconciler
from control_plane.tracking.trackers import TrackerSet, tracker_set

__all__ = ["KnownTrackers", "TrackerWatch"]

_LEASES_PER_LIVENESS = 2
_SIGNS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class KnownTrackers:
    """What an events service says of itself.

    Attributes:
        service_id: Its name.
        revision: The set that it has; None for none.
        in_use_revision: The oldest set that its running calls use; None for none.
    """

    service_id: str
    revision: int | None
    in_use_revision: int | None


class TrackerWatch:
    """Shows the set of trackers to events services, and takes note of which they use.

    Args:
        catalogue: Keeps both.
        environment: The clock.
        deletions: Go on when services know of them.
        polls: Where watchers wait.
        liveness_seconds: An events service that was not heard of for so long counts no more. It may rely on an answer
            for half of that; the rest covers signs that are not noted, and calls that have begun.
    """

    def __init__(
        self,
        catalogue: MetadataStore,
        environment: AppContext,
        *,
        deletions: DeletionReconciler,
        polls: LongPolls,
        liveness_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._clock = environment.clock
        self._deletions = deletions
        self._polls = polls
        self.lease_seconds = liveness_seconds / _LEASES_PER_LIVENESS
        self._sign_seconds = self.lease_seconds / _SIGNS_PER_LEASE

    async def watch(self, known: KnownTrackers, *, wait_seconds: float) -> TrackerSet | None:
        """Return the set of trackers as soon as it differs from the known one; None when it does not in that time.

        Args:
            known: Who asks.
            wait_seconds: How long to wait for a change at most.
        """
        await asyncio.to_thread(self._note, known)

        def look() -> TrackerSet | None:
            with self._catalogue.read() as unit:
                return None if current_revision(unit) == known.revision else tracker_set(unit)

        return await self._polls.until(look, seconds=wait_seconds)

    def _note(self, known: KnownTrackers) -> None:
        """Take note of a sign of life, unless it says nothing new: services ask as often as their callers make them."""
        now = self._clock.now()
        with self._catalogue.read() as unit:
            if (service := unit.get(EventsService, known.service_id)) is not None:
                age = (now - service.last_seen_at).total_seconds()
                if service.in_use_revision == known.in_use_revision and age < self._sign_seconds:
                    return
        with self._catalogue.write() as unit:
            service = unit.get(EventsService, known.service_id)
            if service is None:
                service = EventsService(service_id=known.service_id, last_seen_at=now)
                unit.add(service)
            service.last_seen_at = now
            if service.in_use_revision != known.in_use_revision:
                service.in_use_revision = known.in_use_revision
                self._deletions.reconcile(unit)
