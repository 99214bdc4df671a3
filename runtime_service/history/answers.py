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
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from common.private import private_folder

__all__ = ["AnswerLog", "Answers"]

_ID: Final = "RID-"
_HEAD: Final = struct.Struct("<16sH")
#: Bytes of a file after which the next one is begun; the one before is kept beside it.
_MAX_BYTES: Final = 8 << 20
#: Answers kept in memory; older ones are forgotten.
_MAX_ANSWERS: Final = 200_000


class AnswerLog:
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
    """

    def __init__(self, folder: Path, *, key_bytes: int) -> None:
        self._folder = folder
        self._key_bytes = key_bytes
        self._read: dict[Path, int] = {}
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def take(self, recommendation_id: str) -> list[bytes]:
        """Return the keys of an answer, once; none for one that is not known, or no more."""
        try:
            name = uuid.UUID(recommendation_id.removeprefix(_ID)).bytes
        except ValueError:
            return []
        if name not in self._known:
            self._look()
        found, size = self._known.pop(name, b""), self._key_bytes
        return [found[begin : begin + size] for begin in range(0, len(found), size)]

    def _look(self) -> None:
        paths = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        self._read = {path: self._read.get(path, 0) for path in paths}
        for path in paths:
            try:
                with path.open("rb") as file:
                    file.seek(self._read[path])
                    self._read[path] += self._parse(file.read())
            except FileNotFoundError:
                continue  # its worker began another one meanwhile
        while len(self._known) > _MAX_ANSWERS:
            self._known.popitem(last=False)

    def _parse(self, data: bytes) -> int:
        """Take whole records in; returns how many bytes they have."""
        position = 0
        while position + _HEAD.size <= len(data):
            name, count = _HEAD.unpack_from(data, position)
            end = position + _HEAD.size + count * self._key_bytes
            if end > len(data):
                break
            self._known[name] = data[position + _HEAD.size : end]
            position = end
        return position
