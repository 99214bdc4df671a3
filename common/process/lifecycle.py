"""The life of a process: an event loop of its own, as many open files as it may have, an orderly end at a signal."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import uvloop

from common.process.heartbeat import BEAT_SECONDS, Beat

__all__ = [
    "STOP_SIGNALS",
    "keep_beating",
    "raise_open_files",
    "run",
    "run_until_signal",
    "signalled_before",
    "stop_event",
    "wait_for_signal",
]

#: What asks a process to stop in order.
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: Each connection costs one; the usual limit of 1024 is soon used up by callers who leave theirs open.
_OPEN_FILES: Final = 65_536


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a process's work on an event loop of its own, with as many open files as the system lets it have."""
    raise_open_files(_OPEN_FILES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def run_until_signal(work: Coroutine[Any, Any, None], *, beat: Beat) -> None:
    """Run work that has no end of its own, as `run` does, and cancel it at SIGTERM or SIGINT.

    Args:
        work: What to run.
        beat: Called every `BEAT_SECONDS` for as long as the event loop goes on.

    Raises:
        Exception: What the work raised, if it ended by itself.
    """
    run(_until_signal(work, beat))


async def _until_signal(work: Coroutine[Any, Any, None], beat: Beat) -> None:
    beating, working = asyncio.create_task(keep_beating(beat)), asyncio.create_task(work)
    await signalled_before(working)
    working.cancel()
    await asyncio.wait([working])
    beating.cancel()
    if not working.cancelled() and (error := working.exception()) is not None:
        raise error


async def keep_beating(beat: Beat) -> None:
    """Beat every `BEAT_SECONDS` for as long as the event loop goes on."""
    while True:
        beat()
        await asyncio.sleep(BEAT_SECONDS)


async def wait_for_signal() -> None:
    """Return at SIGTERM or SIGINT."""
    await stop_event().wait()


async def signalled_before(work: asyncio.Task[Any]) -> bool:
    """Wait for SIGTERM, SIGINT or the end of a task; return whether the task still runs."""
    signalled = asyncio.create_task(stop_event().wait())  # the handlers are there before the task's first step
    await asyncio.wait([work, signalled], return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    return not work.done()


def stop_event(
    signals: Iterable[signal.Signals] = STOP_SIGNALS, *, on_repeat: Callable[[], None] | None = None
) -> asyncio.Event:
    """Return an event that the running loop sets at a signal; to be called on the main thread.

    Args:
        signals: Which signals.
        on_repeat: Called at each further one.
    """
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set() and on_repeat is not None:
            on_repeat()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    return stop


def raise_open_files(at_least: int) -> int:
    """Raise this process's limit of open files where it is lower, as far as the system lets it; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < at_least:
        soft = at_least if hard == resource.RLIM_INFINITY else min(at_least, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
