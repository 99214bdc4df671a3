"""What the log says of a peer that cannot be reached: one line for each change, and none while a system starts.

Processes of a system start side by side, so that at first a peer is simply not there yet. Missing it is worth a warning
once it should have been there, or when it was there before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from common.errors import TailorbirdError
from common.logs import get_logger

__all__ = ["START_SECONDS", "PeerContact"]

#: How long after its own start a process takes a peer that it never reached for one that is still starting.
START_SECONDS = 15.0
_log = get_logger(__name__)


class PeerContact:
    """Follows the contact with one peer.

    Args:
        quiet_seconds: How long a peer that was never reached may be away before that is a warning.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self, *, quiet_seconds: float = START_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._quiet_until = monotonic() + quiet_seconds
        self._told = False

    def failed(self, event: str, error: TailorbirdError) -> None:
        """Note that the peer was not reached."""
        if self._told:
            return
        fields = {"reason": error.reason, "message": error.message}
        if self._monotonic() < self._quiet_until:
            _log.debug(event, **fields)
            return
        _log.warning(event, **fields)
        self._told = True

    def succeeded(self, event: str) -> None:
        """Note that the peer was reached; from now on missing it is a warning at once."""
        self._quiet_until = 0.0
        if self._told:
            _log.info(event)
            self._told = False
