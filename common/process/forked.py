"""Forking a process that runs one function and cannot outlive its parent.

A parent that is killed can clean nothing up. Each child therefore waits for the end of a pipe whose other end only the
parent holds, and ends with it.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from common.errors import TailorbirdError
from common.logs import get_logger
from common.process.lifeline import Lifeline

__all__ = ["HANDLED", "fork"]

#: Signals that the parent handles itself and its children must begin without.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_FAILED = 1
_log = get_logger(__name__)


def fork(run: Callable[[], None], *, lifeline: Lifeline) -> int:
    """Fork a child.

    Args:
        run: What the child does, with every handler of signals at its default; an error that it raises is logged.
        lifeline: Of this process, the parent.

    Returns:
        The child's process id. The child itself never returns: it exits with 0 when `run` returned, else with 1.
    """
    # What exists now will not be collected: the children's collectors need not touch, hence copy, the shared pages.
    gc.freeze()
    # A signal between the fork and the reset of its handlers would be lost: the child would handle it as the parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        child = os.fork()
        if child == 0:
            _become(run, lifeline)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _become(run: Callable[[], None], lifeline: Lifeline) -> NoReturn:
    status = _FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        lifeline.hold()
        run()
        status = 0
    except TailorbirdError as error:
        _log.error("process_failed", reason=error.reason, message=error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the child ends here and must not run on as the parent
        _log.error("process_failed", exc_info=error)
    finally:
        # Nothing that the parent registered for its own end is this process's to do.
        os._exit(status)
