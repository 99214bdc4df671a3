"""Saving and mapping the named arrays of a scorer: `.npy` files, never pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact

__all__ = ["map_arrays", "save_arrays"]


def save_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write each array to `<name>.npy` in an existing folder."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array, order="C"), allow_pickle=False)


def map_arrays(folder: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Map arrays that were saved; their pages are read when they are first needed.

    Raises:
        CorruptArtifact: A file is missing or cannot be read.
    """
    arrays = {}
    for name in names:
        try:
            mapped: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"array `{name}.npy`: {error}") from error
        # A plain view: indexing a memmap object itself costs several times as much.
        arrays[name] = mapped.view(np.ndarray)
    return arrays
