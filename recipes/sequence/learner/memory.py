"""Memory of a process that learns."""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory"]

#: Parameters of glibc's `mallopt`, as numbered in its malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Make freed memory stay with the process, for the next step to use; does nothing where libc is not glibc.

    Each step of learning frees arrays of many megabytes and asks for the like again. By default glibc gives every one
    of them back to the system, which then clears the next one page by page: a quarter of all processor time on
    MovieLens 1M. The price is that the process keeps its peak until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another libc, or none that can be asked
        return
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1)):
        mallopt(parameter, value)
