"""Loops over arrays, compiled to machine code by Numba, at their first call or when their module is imported.

Compiled code is kept beside its source, or in the user's cache folder where that cannot be written, and loaded from
there by the next process; where neither can be written each process compiles for itself. A process that serves
compiles while it loads a model, before its first request, by calling each function once; `compiled_for` compiles at
the import, so that a parent shares the code with the workers that it forks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import numba

__all__ = [
    "BYTES",
    "FLOATS",
    "FLOATS_2D",
    "INTS",
    "LONGS",
    "WRITTEN_FLOATS",
    "compiled",
    "compiled_for",
    "compiled_sums",
]

P = ParamSpec("P")
R = TypeVar("R")


def _array(dtype: Any, dimensions: int = 1) -> Any:
    return numba.types.Array(dtype, dimensions, "C", readonly=True)


#: Types of arguments for `compiled_for`: contiguous arrays, mapped read-only or not, that are not written to.
BYTES: Final = _array(numba.uint8)
INTS: Final = _array(numba.int32)
LONGS: Final = _array(numba.int64)
FLOATS: Final = _array(numba.float32)
FLOATS_2D: Final = _array(numba.float32, 2)
#: The same of an argument that is written to.
WRITTEN_FLOATS: Final = numba.types.Array(numba.float32, 1, "C")


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


def compiled_for(*types: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function at once, for arguments of given types alone; else as `compiled`.

    Args:
        types: Of the arguments in their order: those above, or Numba's own (`numba.int64`).
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _compile(function, set(), [types])

    return decorate


def _compile(
    function: Callable[P, R], fastmath: set[str], signatures: list[tuple[Any, ...]] | None = None
) -> Callable[P, R]:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(signatures, cache=True, **options)(function)
    except RuntimeError:  # Numba found no folder to write to
        return numba.njit(signatures, **options)(function)
