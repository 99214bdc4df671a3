"""The items of recent recommendations, so that an event that names a recommendation says which new items were shown.

Each worker appends its recommendations, as far as they hold new items, to a file of its own; the process that tails the
event log reads these files when an event refers to one. So responses wait for no lock, and a recommendation is known on
the host that made it, for as long as the files hold it: they are small, and started anew when they are full or their
worker restarts.
"""

from __future__ import annotations

import os
import struct
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.private_files import private_folder

__all__ = ["ImpressionLog", "ImpressionReader", "remove_stale_impressions"]

_ID: Final = "RID-"
_HEAD: Final = struct.Struct("<16sH")
#: Bytes of a file after which the next one is begun; the one before is kept too.
_MAX_BYTES: Final = 8 << 20
#: After which an event that refers to a recommendation is not waited for: workers of before may still end theirs.
_STALE_SECONDS: Final = 24 * 3600.0
#: Bytes of keys kept in memory: a hundred thousand recommendations with twenty new items each.
_MAX_KEPT_BYTES: Final = 64 << 20


def remove_stale_impressions(folder: Path, *, workers: Collection[str], now: float) -> int:
    """Remove what workers have left whom nobody starts again, once no event refers to it any more.

    Args:
        folder: Holds all workers' files.
        workers: Names of the workers that are started; their files stay, and they begin them anew.
        now: Seconds since 1970; what was written in the day before stays.

    Returns:
        How many files were removed.
    """
    removed = 0
    for path in folder.glob("*.*"):
        with suppress(FileNotFoundError):
            if path.stem not in workers and path.stat().st_mtime < now - _STALE_SECONDS:
                path.unlink()
                removed += 1
    return removed


class ImpressionLog:
    """Writes the impressions of one worker.

    Args:
        folder: Holds all workers' files; created when it is missing.
        name: The worker's, the same after a restart.
        max_bytes: Size of one file.
    """

    def __init__(self, folder: Path, name: str, *, max_bytes: int = _MAX_BYTES) -> None:
        private_folder(folder)
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        for old in folder.glob(f"{name}.*"):
            old.unlink(missing_ok=True)
        self._files: list[Path] = []
        self._descriptor = self._begin()
        self._size = 0

    def append(self, recommendation_id: str, keys: Sequence[bytes]) -> None:
        """Append the items of a recommendation.

        Args:
            recommendation_id: The recommendation's id.
            keys: The keys that the items are counted by, all of one length.
        """
        record = _HEAD.pack(uuid.UUID(recommendation_id.removeprefix(_ID)).bytes, len(keys)) + b"".join(keys)
        if self._size + len(record) > self._max_bytes:
            os.close(self._descriptor)
            self._descriptor, self._size = self._begin(), 0
        os.write(self._descriptor, record)
        self._size += len(record)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _begin(self) -> int:
        path = self._folder / f"{self._name}.{time.time_ns()}"
        self._files.append(path)
        while len(self._files) > 2:
            self._files.pop(0).unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


class ImpressionReader:
    """Reads the impressions of all workers of this host.

    Args:
        folder: Holds their files.
        key_bytes: Length of a key.
        max_bytes: Size of the keys in memory; beyond it, the oldest recommendations are dropped.
    """

    def __init__(self, folder: Path, *, key_bytes: int, max_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._folder = folder
        self._key_bytes = key_bytes
        self._max_bytes = max_bytes
        self._read_bytes: dict[str, int] = {}
        self._keys: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def take(self, recommendation_ids: Iterable[str]) -> dict[str, list[bytes]]:
        """Return the keys of recommendations, each only once; those that are not known, or not any more, are left out.

        The files are read at most once, however many ids there are: a recommendation is logged before an event can
        refer to it.
        """
        names = {text: name for text in recommendation_ids if (name := _name(text)) is not None}
        if any(name not in self._keys for name in names.values()):
            self._read_files()
        keys_by_id, size = {}, self._key_bytes
        for text, name in names.items():
            keys = self._keys.pop(name, b"")
            self._bytes -= len(keys)
            if keys:
                keys_by_id[text] = [keys[begin : begin + size] for begin in range(0, len(keys), size)]
        return keys_by_id

    def _read_files(self) -> None:
        """Read what is new in the files; one that has not grown is not opened."""
        sizes: dict[str, int] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # its worker has begun another one meanwhile
                        sizes[entry.path] = entry.stat().st_size
        except FileNotFoundError:
            return
        self._read_bytes = {path: self._read_bytes.get(path, 0) for path in sizes}
        for path, size in sorted(sizes.items()):
            if size > self._read_bytes[path]:
                with suppress(FileNotFoundError), Path(path).open("rb") as file:
                    file.seek(self._read_bytes[path])
                    self._read_bytes[path] += self._parse(file.read(size - self._read_bytes[path]))
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._keys.popitem(last=False)[1])

    def _parse(self, data: bytes) -> int:
        """Parse complete records; return how many bytes they have."""
        position = 0
        while position + _HEAD.size <= len(data):
            name, count = _HEAD.unpack_from(data, position)
            end = position + _HEAD.size + count * self._key_bytes
            if end > len(data):
                break
            keys = data[position + _HEAD.size : end]
            self._bytes += len(keys) - len(self._keys.get(name, b""))
            self._keys[name] = keys
            position = end
        return position


def _name(recommendation_id: str) -> bytes | None:
    try:
        return uuid.UUID(recommendation_id.removeprefix(_ID)).bytes
    except ValueError:
        return None
