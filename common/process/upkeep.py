"""Work that is done again and again on an event loop, and that outlives whatever goes wrong in it.

A task of a group that raises ends the group, and with it the process; one that ends by itself is missed by nobody. So a
round that fails is logged, counted by whoever wants to, and followed by a longer and longer pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact

__all__ = ["keep_doing"]

_BACKOFF: Final = BackoffPolicy(first_seconds=0.1, longest_seconds=30.0, jitter=0.5)


async def keep_doing(
    work: Callable[[], Awaitable[object]],
    *,
    name: str,
    every_seconds: float,
    count_failure: Callable[[], object] = lambda: None,
) -> None:
    """Do rounds of work until cancelled.

    Args:
        work: One round.
        name: Of the work: `NAME_failed` is logged once for each class of errors in a row, `NAME_resumed` after them.
        every_seconds: Pause after a round; after one that failed at least so long.
        count_failure: Called for each round that failed.
    """
    contact = PeerContact(backoff=_BACKOFF, quiet_seconds=0.0)
    while True:
        pause = every_seconds
        try:
            await work()
        except Exception as error:  # noqa: BLE001 -- the next round may succeed; `failed` logs it
            count_failure()
            pause = max(pause, contact.failed(f"{name}_failed", error))
        else:
            contact.succeeded(f"{name}_resumed")
        await asyncio.sleep(pause)
