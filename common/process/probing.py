"""Asking a process from outside whether it is ready, and whether it answers at all."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Health", "LivenessPolicy", "Probe", "is_out_of_threads", "probe_until_silent"]


class Health(enum.Enum):
    """What a probe found. A process that answers is alive, also when it says that it is not ready."""

    SERVING = "serving"
    NOT_SERVING = "answers, but does not serve"
    SILENT = "does not answer"


#: Called from a worker thread; is over within a few seconds whatever the process does, and never raises.
Probe = Callable[[], Health]


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """A process that answers no probe for long is killed and started again; "not ready" is an answer.

    Attributes:
        starting_every_seconds: Pause between two probes until the process is ready.
        every_seconds: Pause between two probes afterwards.
        silent_seconds: How long a process that was ready may answer nothing.
        starting_seconds: The same before it was ready: it may have a database to recover.
        least_probes: So many probes in a row must have failed besides, so that a parent that was itself stopped for a
            while kills nothing when it goes on.
    """

    starting_every_seconds: float = 0.1
    every_seconds: float = 2.0
    silent_seconds: float = 30.0
    starting_seconds: float = 300.0
    least_probes: int = 3


async def probe_until_silent(probe: Probe, policy: LivenessPolicy, *, on_ready: Callable[[], None]) -> float:
    """Probe a process that was just started, again and again.

    Args:
        probe: Asks it.
        policy: How often, and when it counts as hung.
        on_ready: Called once, when it serves for the first time.

    Returns:
        How many seconds it has answered nothing, once it counts as hung.
    """
    loop = asyncio.get_running_loop()
    answered_at, failures, starting = loop.time(), 0, True
    while True:
        health = await _ask(probe)
        now = loop.time()
        if health is Health.SILENT:
            failures += 1
        elif health is None:
            pass  # nobody asked, so the process is not to blame
        else:
            failures, answered_at = 0, now
        if health is Health.SERVING and starting:
            starting = False
            on_ready()
        allowed = policy.starting_seconds if starting else policy.silent_seconds
        if failures >= policy.least_probes and now - answered_at >= allowed:
            return now - answered_at
        await asyncio.sleep(policy.starting_every_seconds if starting else policy.every_seconds)


async def _ask(probe: Probe) -> Health | None:
    """Probe in a thread; None when the machine has none to spare, which passes."""
    try:
        return await asyncio.to_thread(probe)
    except RuntimeError as error:
        if not is_out_of_threads(error):
            raise
        return None


def is_out_of_threads(error: RuntimeError) -> bool:
    """Return whether Python could not start a thread: it has no error of its own for that."""
    return "can't start new thread" in str(error)
