"""What a reader is given: a local file under the name that its owner knows, and bytes of it as they were packed."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BrokenFile", "DataFile", "Unpacked", "bare_name", "open_unpacked"]

_GZIP: Final = b"\x1f\x8b"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_ENDINGS: Final = (".gz", ".zst", ".zstd")
_DAMAGE: Final = (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A local file to read.

    Attributes:
        name: As its owner knows it; its ending says the format.
        path: Where it is now.
    """

    name: str
    path: Path


class BrokenFile(ValueError):
    """What makes the rest of a file unreadable; the message says where."""


class Unpacked:
    """A file as it was before it was packed with gzip or Zstandard; one that is not packed as it is.

    Args:
        raw: The opened file.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        head = raw.read(4)
        raw.seek(0)
        self._codec = ""
        opened: io.RawIOBase | BinaryIO = raw
        if head.startswith(_GZIP):
            self._codec, opened = "gzip", cast("BinaryIO", gzip.GzipFile(fileobj=raw))
        elif head == _ZSTANDARD:
            self._codec, opened = "Zstandard", cast("BinaryIO", zstd.ZstdFile(raw))
        self._buffer = io.BufferedReader(cast("io.RawIOBase", opened), 1 << 20)

    @property
    def is_packed(self) -> bool:
        """Whether the file is packed."""
        return bool(self._codec)

    @property
    def position(self) -> int:
        """Bytes of the file on disk that were read."""
        return self._raw.tell()

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, nothing at the end.

        Raises:
            BrokenFile: The packing is damaged or cut off.
        """
        with self._our_errors():
            return self._buffer.read(size)

    def readline(self, size: int) -> bytes:
        """Return the bytes up to the end of the line, at most `size`; errors of `read`."""
        with self._our_errors():
            return self._buffer.readline(size)

    def peek(self) -> bytes:
        """Return some of the bytes that come next, nothing at the end; errors of `read`."""
        with self._our_errors():
            return self._buffer.peek(1)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise BrokenFile(f"got a damaged or incomplete {self._codec} file ({error}), want all of it") from error


@contextmanager
def open_unpacked(path: Path) -> Iterator[Unpacked]:
    """Open a file that may be packed."""
    with path.open("rb") as raw:
        yield Unpacked(raw)


def bare_name(name: str) -> str:
    """Return a file's name without the ending of a packing, in lower case: `a.csv` of `A.csv.gz`."""
    lower = name.lower()
    ending = next((ending for ending in _ENDINGS if lower.endswith(ending)), "")
    return lower.removesuffix(ending)
