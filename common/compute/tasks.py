"""What both sides of a run agree on: how a task is named, what is said of a part, how a failure travels."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from operator import attrgetter
from sys import modules
from typing import Any

from common.compute import MAX_ATTEMPTS
from common.compute.messages import DONE, FAILED
from common.errors import Unavailable

__all__ = ["check_importable", "lost_part", "noted", "perform", "portable_error"]


def check_importable(task: Callable[[Any], Any]) -> None:
    """Return if another process can import a task by its name.

    Raises:
        ValueError: It cannot.
    """
    name = f"{getattr(task, '__module__', None)}.{getattr(task, '__qualname__', type(task).__name__)}"
    try:
        importable = attrgetter(task.__qualname__)(modules[task.__module__]) is task
    except (AttributeError, KeyError):
        importable = False
    if not importable or task.__module__ == "__main__":
        raise ValueError(f"`task`: got {name}, want a function of a module that other processes can import")


def perform(task: bytes, part: bytes) -> bytes:
    """Do a part, and return what to say of it.

    Args:
        task: The function, pickled.
        part: Its argument, pickled.

    Returns:
        `DONE` and the result, or `FAILED` and the error, pickled.
    """
    try:
        return bytes(ForkingPickler.dumps((DONE, ForkingPickler.loads(task)(ForkingPickler.loads(part)))))
    except BaseException as error:  # noqa: BLE001 -- panics of Rust code too; whoever wants the result raises it
        return bytes(ForkingPickler.dumps((FAILED, portable_error(error))))


def noted(error: BaseException, place: int, parts: int) -> BaseException:
    """Return the error of a part, with a note that says which of so many."""
    error.add_note(f"in part {place} of {parts}")
    return error


def lost_part(place: int, how: str, *, memory: bool) -> Unavailable:
    """Return the error of a part that was lost in its last attempt.

    Args:
        place: Of the part in the sequence.
        how: What happened the last time.
        memory: Whether it looks like a lack of memory.
    """
    hint = "; most likely memory ran out: give the machine more, or let it do fewer parts at a time" if memory else ""
    return Unavailable(f"part {place}: what did it was lost {MAX_ATTEMPTS} times, the last time by {how}{hint}")


def portable_error(error: BaseException) -> BaseException:
    """Return an error that another process can read, with its traceback as a note.

    Args:
        error: Was raised here. Where it does not survive the way, a RuntimeError says what it said.
    """
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 -- made in the same line
    except Exception:  # noqa: BLE001 -- whatever its class does when it is copied
        portable = RuntimeError(f"{type(error).__name__}: {error}")
        for note in error.__notes__:
            portable.add_note(note)
        return portable
    return error
