"""Which of several control planes on one database runs the schedules: the holder of a lease, a row that expires."""

from __future__ import annotations

from datetime import timedelta

from control_plane.app_context import AppContext
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import SchedulerLease

__all__ = ["Lease"]


class Lease:
    """The lease in the hands of one control plane.

    It is asked for within the unit of work that does what only its holder may do, so whoever lost it changes nothing.

    Args:
        app_context: Clock and ids.
        seconds: How long the others wait for a holder that has become silent.
    """

    def __init__(self, app_context: AppContext, *, seconds: float) -> None:
        self._clock = app_context.clock
        self._owner = app_context.new_id()
        self._duration = timedelta(seconds=seconds)

    def hold(self, unit: Unit) -> bool:
        """Take the lease, or renew it, and return whether this control plane has it, within a writing unit."""
        now = self._clock.now()
        row = unit.get(SchedulerLease, 1)
        if row is None:
            unit.add(SchedulerLease(owner=self._owner, expires_at=now + self._duration))
            return True
        if row.owner != self._owner and now < row.expires_at:
            return False
        row.owner, row.expires_at = self._owner, now + self._duration
        return True
