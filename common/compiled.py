"""Loops over arrays, compiled to machine code by Numba at their first call.

Compiled code is kept beside its source, or in the user's cache folder where that cannot be written, and loaded from
there by the next process; where neither can be written each process compiles for itself. A process that serves
compiles while it loads a model, before its first request, by calling each function once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

__all__ = ["compiled", "compiled_sums"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers; it lets other threads run, and checks no bounds.

    Its arguments are contiguous arrays of one dtype each and numbers, the same types at every call: each other
    combination of types is compiled anew. Indexes are checked where data come in, not here.
    """
    return _compile(function, set())


def compiled_sums(function: Callable[P, R]) -> Callable[P, R]:
    """Compile likewise a function that adds up many products, which may be added in another order than written.

    The order is the same at every call, so that the same row and query give the same bits; it is another one than
    NumPy's.
    """
    return _compile(function, {"reassoc", "contract"})


def _compile(function: Callable[P, R], fastmath: set[str]) -> Callable[P, R]:
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)
    except RuntimeError:  # Numba found no folder to write to
        return numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
