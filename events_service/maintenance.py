"""The one thread that does what no call waits for: it seals events, and lets old ones and those of deleted data go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from common.errors import Unavailable
from common.logs import get_logger
from events_service.dataset_sink import DatasetSink
from events_service.log import EventLog

__all__ = ["Maintenance"]

_log = get_logger(__name__)
_REMOVAL_EVERY_SECONDS = 600.0


class Maintenance:
    """Sweeps every moment.

    Args:
        log: Whose old events are removed.
        sealer: Moves events into tables.
        every_seconds: Pause between two sweeps.
        retention: Age at which sealed events leave the log.
        deletion_seconds: Pause between two looks for tables that are gone.
        monotonic: Returns seconds on a clock that nobody sets.
    """

    def __init__(
        self,
        log: EventLog,
        sealer: DatasetSink,
        *,
        every_seconds: float,
        retention: timedelta,
        deletion_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._monotonic = monotonic
        self._every_seconds = every_seconds
        self._retention = retention
        self._deletion_seconds = deletion_seconds
        self._next_removal = self._next_deletion = monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def sweep(self) -> None:
        """Look once."""
        self._sealer.seal_due(stopping=self._stopping.is_set)
        now = self._monotonic()
        if now >= self._next_removal:
            self._next_removal = now + _REMOVAL_EVERY_SECONDS
            if removed := self._log.remove_old(self._retention):
                _log.info("old_events_removed", events=removed)
        if now >= self._next_deletion:
            self._next_deletion = now + self._deletion_seconds
            try:
                self._sealer.forget_gone()
            except Unavailable as error:
                _log.debug("deletions_unknown", message=error.message)  # events stay for as long as nobody can be asked

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last sweep is over; what is not sealed yet waits in the log for the next start."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while not self._stopping.wait(self._every_seconds):
            try:
                self.sweep()
            except Exception:  # noqa: BLE001 - the next sweep may succeed; without the thread nothing is sealed again
                if not failing:
                    _log.exception("sweep_failed")
                failing = True
            else:
                failing = False
