"""What both sides of a run agree on: how a task is named, how its failure travels."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from operator import attrgetter
from sys import modules
from typing import Any

__all__ = ["check_importable", "portable_error"]


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
