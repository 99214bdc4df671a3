"""Saving and mapping named arrays: `.npy` files, never pickle."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact

__all__ = ["create_array", "map_array", "map_arrays", "save_arrays"]

#: NumPy parses a file's header as Python, and CPython 3.11 counts the depth of what it parses once for all threads: two
#: that parse at a time can end in a SystemError.
_HEADERS: Final = threading.Lock()


def save_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array to `<name>.npy` in an existing folder."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array, order="C"), allow_pickle=False)


def create_array(folder: Path, name: str, dtype: type[np.generic] | np.dtype[Any], length: int) -> NDArray[Any]:
    """Create `<name>.npy` as an array [length] of zeros that is filled in place, so that it need not be in memory."""
    if length == 0:
        # Nothing cannot be mapped.
        array = np.empty(0, dtype)
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
        return array
    mapped: NDArray[Any] = np.lib.format.open_memmap(
        folder / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=(length,)
    )
    return mapped.view(np.ndarray)


def map_arrays(folder: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Map arrays that were saved; their pages are read when they are first needed.

    Raises:
        CorruptArtifact: A file is missing or cannot be read.
    """
    arrays = {}
    for name in names:
        try:
            arrays[name] = map_array(folder / f"{name}.npy")
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"array `{name}.npy`: {error}") from error
    return arrays


def map_array(path: Path) -> NDArray[Any]:
    """Map one array; any thread may.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: It holds no array.
    """
    with _HEADERS:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    # A plain view: indexing a memmap object itself costs several times as much.
    return mapped.view(np.ndarray)
