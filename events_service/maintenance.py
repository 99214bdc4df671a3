"""The work on the log that no call waits for and no consumer does: removing old records, and those of deleted data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
        log: The log that old records are removed from.
        sink: Knows which tables are deleted.
        every_seconds: Pause between two rounds.
        retention: Age at which consumed records are removed from the log.
        kept_for: Consumers that must not miss a record.
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
        kept_for: Sequence[str] = (DatasetSink.name,),
        deletion_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._sink = sink
        self._monotonic = monotonic
        self._retention = retention
        self._kept_for = kept_for
        self._deletion_seconds = deletion_seconds
        self._next_removal = self._next_deletion = monotonic()
        self._thread = PeriodicThread(
            self.sweep, name="maintenance", every_seconds=every_seconds, failure_event="sweep_failed"
        )

    def sweep(self) -> None:
        """Remove old records, and those of deleted tables, when it is time to and this process is to consume."""
        if not self._log.consumes():
            return
        now = self._monotonic()
        if now >= self._next_removal:
            self._next_removal = now + _REMOVAL_EVERY_SECONDS
            if removed := self._log.remove_old(self._retention, kept_for=self._kept_for):
                _log.info("old_records_removed", records=removed)
        if now >= self._next_deletion:
            self._next_deletion = now + self._deletion_seconds
            try:
                self._sink.remove_deleted()
            except Unavailable as error:
                _log.debug("deletions_unknown", message=error.message)  # until control_plane can be reached again

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last sweep is over."""
        self._thread.stop()
