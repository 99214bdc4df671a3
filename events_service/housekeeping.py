"""The one thread that does what no call waits for: it seals events and lets old ones go."""

from __future__ import annotations

import threading
from datetime import timedelta

from common.clock import Clock
from common.logs import get_logger
from events_service.log import EventLog
from events_service.sealing import Sealer

__all__ = ["Housekeeper"]

_log = get_logger(__name__)
_REMOVAL_EVERY = timedelta(minutes=10)


class Housekeeper:
    """Sweeps every moment.

    Args:
        log: Whose old events are removed.
        sealer: Moves events into tables.
        clock: Source of the present time.
        every_seconds: Pause between two sweeps.
        retention: Age at which sealed events leave the log.
    """

    def __init__(
        self, log: EventLog, sealer: Sealer, *, clock: Clock, every_seconds: float, retention: timedelta
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._clock = clock
        self._every_seconds = every_seconds
        self._retention = retention
        self._next_removal = clock.now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def sweep(self) -> None:
        """Look once."""
        self._sealer.seal_due(stopping=self._stopping.is_set)
        now = self._clock.now()
        if now >= self._next_removal:
            self._next_removal = now + _REMOVAL_EVERY
            if removed := self._log.remove_before(now - self._retention):
                _log.info("old_events_removed", events=removed)

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
