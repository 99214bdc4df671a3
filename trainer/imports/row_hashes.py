"""Which hashes of many rows occur more than once, in bounded memory: most of them are in files by their first bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["RowHashes"]

#: Hashes that are kept in memory before they go to files: 32 MB.
_IN_MEMORY: Final = 4_000_000
_BUCKET_BITS: Final = 6
#: Buckets that are sorted at a time; NumPy lets other threads run meanwhile.
_THREADS: Final = 2


class RowHashes:
    """Collects a hash of each row.

    Args:
        folder: Existing, for files.
        in_memory: Hashes that are kept in memory.
    """

    def __init__(self, folder: Path, *, in_memory: int = _IN_MEMORY) -> None:
        self._folder = folder
        self._in_memory = in_memory
        self._recent: list[NDArray[np.uint64]] = []
        self._n_recent = 0
        self._has_files = False

    def add(self, hashes: pl.Series) -> None:
        """Take the hashes of some rows, uint64 [n_rows]."""
        self._recent.append(hashes.to_numpy())
        self._n_recent += len(hashes)
        if self._n_recent > self._in_memory:
            self._write()

    def repeated(self, *, limit: int) -> pl.Series | None:
        """Return the hashes that occur more than once, each once; None when they are more than a number.

        Args:
            limit: That number.
        """
        if not self._has_files:
            return _limited([_repeated(np.concatenate(self._recent))] if self._recent else [], limit)
        self._write()
        parts: list[NDArray[np.uint64]] = []
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="row-hashes") as threads:
            for part in threads.map(self._repeated_of, range(1 << _BUCKET_BITS)):
                parts.append(part)
                if sum(map(len, parts)) > limit:
                    threads.shutdown(cancel_futures=True)
                    return None
        return _limited(parts, limit)

    def _repeated_of(self, bucket: int) -> NDArray[np.uint64]:
        path = self._path(bucket)
        return _repeated(np.fromfile(path, np.uint64)) if path.exists() else np.empty(0, np.uint64)

    def _write(self) -> None:
        """Move the hashes in memory to the files of their buckets."""
        hashes = np.concatenate(self._recent) if self._recent else np.empty(0, np.uint64)
        self._recent, self._n_recent, self._has_files = [], 0, True
        buckets = (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.uint8)
        ends = np.cumsum(np.bincount(buckets, minlength=1 << _BUCKET_BITS))
        # NumPy sorts bytes stably in linear time.
        by_bucket = hashes[np.argsort(buckets, kind="stable")]
        for bucket, part in enumerate(np.split(by_bucket, ends[:-1])):
            if len(part):
                with self._path(bucket).open("ab") as file:
                    part.tofile(file)

    def _path(self, bucket: int) -> Path:
        return self._folder / f"hashes-{bucket}"


def _repeated(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    ordered = np.sort(hashes)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    is_first = np.ones(len(again), np.bool_)
    is_first[1:] = again[1:] != again[:-1]
    repeated: NDArray[np.uint64] = again[is_first]
    return repeated


def _limited(parts: list[NDArray[Any]], limit: int) -> pl.Series | None:
    hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    return None if len(hashes) > limit else pl.Series(hashes, dtype=pl.UInt64)
