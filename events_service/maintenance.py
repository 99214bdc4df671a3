"""The thread for the work that no call waits for: flushing tables, removing old events and those of deleted data."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from common.errors import Unavailable
from common.logs import get_logger
from common.process.periodic import PeriodicThread
from events_service.dataset_sink import DatasetSink
from events_service.log import EventLog

__all__ = ["Maintenance"]

_log = get_logger(__name__)
_REMOVAL_EVERY_SECONDS = 600.0


class Maintenance:
    """Runs the periodic work in a thread.

    Args:
        log: The log that old events are removed from.
        sink: Appends events to tables.
        every_seconds: Pause between two rounds.
        retention: Age at which committed events are removed from the log.
        deletion_seconds: Pause between two searches for deleted tables.
        monotonic: Returns seconds on a clock that nobody sets.
    """

    def __init__(
        self,
        log: EventLog,
        sink: DatasetSink,
        *,
        every_seconds: float,
        retention: timedelta,
        deletion_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._sink = sink
        self._monotonic = monotonic
        self._retention = retention
        self._deletion_seconds = deletion_seconds
        self._next_removal = self._next_deletion = monotonic()
        self._thread = PeriodicThread(
            self.sweep, name="maintenance", every_seconds=every_seconds, failure_event="sweep_failed"
        )

    def sweep(self) -> None:
        """Flush the tables that are due; remove old events, and those of deleted tables, when it is time to."""
        self._sink.flush_due(stopping=lambda: self._thread.stopping)
        now = self._monotonic()
        if now >= self._next_removal:
            self._next_removal = now + _REMOVAL_EVERY_SECONDS
            if removed := self._log.remove_old(self._retention):
                _log.info("old_events_removed", events=removed)
        if now >= self._next_deletion:
            self._next_deletion = now + self._deletion_seconds
            try:
                self._sink.remove_deleted()
            except Unavailable as error:
                _log.debug("deletions_unknown", message=error.message)  # events stay until control_plane can be reached

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last sweep is over; what is not committed yet stays in the log for the next start."""
        self._thread.stop()
