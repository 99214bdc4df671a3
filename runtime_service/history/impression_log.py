"""What was recommended a moment ago, so that an event that names a recommendation tells which new items were shown.

Each worker appends its answers, as far as they hold new items, to a file of its own; the process that follows the log
reads these files when an event asks. So answers wait for no lock, and an answer is known on the host that gave it, for
as long as the files hold it: they are small, and begun anew when they are full or their worker starts again.
"""

from __future__ import annotations

import os
import struct
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.private_files import private_folder

__all__ = ["Answers", "ImpressionLog"]

_ID: Final = "RID-"
_HEAD: Final = struct.Struct("<16sH")
#: Bytes of a file after which the next one is begun; the one before is kept beside it.
_MAX_BYTES: Final = 8 << 20
#: Bytes of keys kept in memory, in a hundred thousand answers with twenty new items each.
_MAX_KEPT_BYTES: Final = 64 << 20


class ImpressionLog:
    """Written by one worker.

    Args:
        folder: Of all workers' files; made when it is missing.
        name: Of the worker, the same when it starts again.
        max_bytes: Of one file.
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

    def note(self, recommendation_id: str, keys: Sequence[bytes]) -> None:
        """Append an answer.

        Args:
            recommendation_id: Of the answer.
            keys: What the items are counted by, all of one length.
        """
        record = _HEAD.pack(uuid.UUID(recommendation_id.removeprefix(_ID)).bytes, len(keys)) + b"".join(keys)
        if self._size + len(record) > self._max_bytes:
            os.close(self._descriptor)
            self._descriptor, self._size = self._begin(), 0
        os.write(self._descriptor, record)
        self._size += len(record)

    def close(self) -> None:
        """Give the file free."""
        os.close(self._descriptor)

    def _begin(self) -> int:
        path = self._folder / f"{self._name}.{time.time_ns()}"
        self._files.append(path)
        while len(self._files) > 2:
            self._files.pop(0).unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


class Answers:
    """Reads what all workers of this host wrote.

    Args:
        folder: Of their files.
        key_bytes: Length of a key.
        max_bytes: Of keys kept in memory; the oldest answers are forgotten beyond.
    """

    def __init__(self, folder: Path, *, key_bytes: int, max_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._folder = folder
        self._key_bytes = key_bytes
        self._max_bytes = max_bytes
        self._read: dict[str, int] = {}
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def take(self, recommendation_ids: Iterable[str]) -> dict[str, list[bytes]]:
        """Return the keys of answers, of each once; what is not known, or no more, is left out.

        However many are asked for, the files are looked at once: an answer is noted before anybody can refer to it.
        """
        names = {text: name for text in recommendation_ids if (name := _name(text)) is not None}
        if any(name not in self._known for name in names.values()):
            self._look()
        found, size = {}, self._key_bytes
        for text, name in names.items():
            keys = self._known.pop(name, b"")
            self._bytes -= len(keys)
            if keys:
                found[text] = [keys[begin : begin + size] for begin in range(0, len(keys), size)]
        return found

    def _look(self) -> None:
        """Take in what is new in the files; one that has not grown is not opened."""
        sizes: dict[str, int] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # its worker began another one meanwhile
                        sizes[entry.path] = entry.stat().st_size
        except FileNotFoundError:
            return
        self._read = {path: self._read.get(path, 0) for path in sizes}
        for path, size in sorted(sizes.items()):
            if size > self._read[path]:
                with suppress(FileNotFoundError), Path(path).open("rb") as file:
                    file.seek(self._read[path])
                    self._read[path] += self._parse(file.read(size - self._read[path]))
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._known.popitem(last=False)[1])

    def _parse(self, data: bytes) -> int:
        """Take whole records in; returns how many bytes they have."""
        position = 0
        while position + _HEAD.size <= len(data):
            name, count = _HEAD.unpack_from(data, position)
            end = position + _HEAD.size + count * self._key_bytes
            if end > len(data):
                break
            keys = data[position + _HEAD.size : end]
            self._bytes += len(keys) - len(self._known.get(name, b""))
            self._known[name] = keys
            position = end
        return position


def _name(recommendation_id: str) -> bytes | None:
    try:
        return uuid.UUID(recommendation_id.removeprefix(_ID)).bytes
    except ValueError:
        return None
