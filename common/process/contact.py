"""What follows when a peer cannot be reached: a growing pause, and one line in the log for each change.

Processes of a system start side by side, so that at first a peer is simply not there yet. Missing it is worth a warning
once it should have been there, or when it was there before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from common.errors import TailorbirdError
from common.logs import get_logger
from common.process.backoff import Backoff, BackoffPolicy

__all__ = ["START_SECONDS", "PeerContact"]

#: How long after its own start a process takes a peer that it never reached for one that is still starting.
START_SECONDS: Final = 15.0
_BACKOFF: Final = BackoffPolicy(first_seconds=0.05, longest_seconds=2.0, jitter=0.5)
_log = get_logger(__name__)


class PeerContact:
    """Follows the contact with one peer.

    Args:
        backoff: Length of the pauses between attempts.
        quiet_seconds: How long a peer that was never reached may be away before that is a warning.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        *,
        backoff: BackoffPolicy = _BACKOFF,
        quiet_seconds: float = START_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backoff = Backoff(backoff)
        self._monotonic = monotonic
        self._quiet_until = monotonic() + quiet_seconds
        #: Kinds of errors that were logged since the peer was reached.
        self._logged: set[type[Exception]] = set()

    @property
    def failures(self) -> int:
        """Attempts in a row that failed."""
        return self._backoff.failures

    def failed(self, event: str, error: Exception) -> float:
        """Note that the peer was not reached, or could not be understood.

        Args:
            event: Name of the line in the log.
            error: What happened; one that is not of our tree is a fault of ours, and logged with its trace.

        Returns:
            How many seconds to pause before the next attempt.
        """
        if type(error) not in self._logged:
            self._log(event, error)
        return self._backoff.failed()

    def succeeded(self, event: str) -> None:
        """Note that the peer was reached; from now on missing it is a warning at once.

        Args:
            event: Name of the line in the log, which is written when failures were warned of.
        """
        self._quiet_until = 0.0
        self._backoff.succeeded()
        if self._logged:
            _log.info(event)
            self._logged.clear()

    def _log(self, event: str, error: Exception) -> None:
        if not isinstance(error, TailorbirdError):
            _log.error(event, exc_info=error)
        elif self._monotonic() < self._quiet_until:
            _log.debug(event, reason=error.reason, message=error.message)
            return
        else:
            _log.warning(event, reason=error.reason, message=error.message)
        self._logged.add(type(error))
