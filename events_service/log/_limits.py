"""How much may wait to be written to a log, and how much of it is written at once: a call may have more than 1 MB.

Without a limit of bytes a thousand large calls would be one group, for which every small one waits; and what callers
leave behind who do not wait any longer would stay in memory for as long as a disk or a server stands still.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.errors import LimitExceeded
from events_service.log import LogEntry

__all__ = ["MAX_GROUP", "MAX_GROUP_BYTES", "MAX_WAITING_BYTES", "payload_bytes", "require_room"]

MAX_GROUP: Final = 1024
MAX_GROUP_BYTES: Final = 8 * 1024 * 1024
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024


def payload_bytes(entries: Sequence[LogEntry]) -> int:
    """Return what the payloads of a call take in memory."""
    return sum(len(entry.payload) for entry in entries)


def require_room(*, size: int, n_waiting: int, waiting_bytes: int, max_waiting: int, place: str) -> None:
    """Check that one more write may wait; bookkeeping, which has no payload, is not refused for that of others.

    Args:
        size: Its payload in bytes.
        n_waiting: Writes that wait already.
        waiting_bytes: Their payloads.
        max_waiting: How many may wait.
        place: What they wait for.

    Raises:
        LimitExceeded: It may not.
    """
    if n_waiting >= max_waiting or (size and waiting_bytes >= MAX_WAITING_BYTES):
        raise LimitExceeded(
            f"event log: got {n_waiting} writes of {waiting_bytes} bytes that wait for the {place}, want fewer; try "
            "again later"
        )
