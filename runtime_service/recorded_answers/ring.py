"""Answers of the last moments in a file per worker, mapped, that every worker of the host can search.

A file is a ring: new answers overwrite the oldest ones. What is written is one copy of bytes into shared memory;
nothing is synced, and no lock is taken: a reader finds an answer by its id, and a checksum tells a whole one from one
that is being overwritten. The ids are random, so that the bytes of one stand nowhere else.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from common.positions import Position
from common.private_files import FILE_MODE, private_folder

__all__ = ["AnswerRing", "RecordedAnswer", "erase_answers", "find_answer", "keep_rings"]

_MAGIC: Final = b"\x00ANSWER\x01"
#: Magic, checksum of what follows it, its length; then the id.
_HEAD: Final = struct.Struct("<8sII")
_ID_BYTES: Final = 16
#: Epoch, offset, milliseconds since 1970, and the lengths of the operation, the deployment, the artifact's location,
#: the request and the response, which follow.
_BODY: Final = struct.Struct("<qqqBHHII")
_SUFFIX: Final = ".ring"
#: Searched at a time: what else the process does runs in between.
_WINDOW_BYTES: Final = 1 << 20
_PREFIX: Final = "RID-"


class RecordedAnswer(NamedTuple):
    """An answer with what it was made of.

    Attributes:
        operation: E.g. `GetRecommendations`.
        deployment_id: What answered.
        artifact_location: Its artifact.
        position: Up to where it included the event log.
        millis: When it was given, milliseconds since 1970.
        request: The serialized request.
        response: The serialized response.
    """

    operation: str
    deployment_id: str
    artifact_location: str
    position: Position
    millis: int
    request: bytes
    response: bytes


class AnswerRing:
    """The answers of one worker.

    Args:
        folder: Holds all workers' files; created when it is missing.
        name: The worker's, the same after a restart, which begins the file anew.
        max_bytes: Size of the file; 0 records nothing.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path, name: str, *, max_bytes: int) -> None:
        path = private_folder(folder) / f"{name}{_SUFFIX}"
        # Readers may have the file of before open.
        path.unlink(missing_ok=True)
        self.folder = folder
        self._size = max_bytes
        self._place = 0
        # Of the last answer, as most have the same.
        self._texts: tuple[str, str, str] = "", "", ""
        self._encoded, self._lengths = b"", (0, 0, 0)
        if not max_bytes:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            # Room on the disk as well: a page that cannot be written later would end the process.
            os.posix_fallocate(descriptor, 0, max_bytes)
            self._map = mmap.mmap(descriptor, max_bytes)
        finally:
            os.close(descriptor)

    def record(self, recommendation_id: str, answer: RecordedAnswer) -> None:
        """Record an answer; one that is larger than the file is left out."""
        if not self._size:
            return
        operation, deployment_id, artifact_location, position, millis, request, response = answer
        texts = operation, deployment_id, artifact_location
        if texts != self._texts:
            encoded = [text.encode() for text in texts]
            first, second, third = map(len, encoded)
            self._texts, self._encoded, self._lengths = texts, b"".join(encoded), (first, second, third)
        fields = _BODY.pack(position.epoch, position.offset, millis, *self._lengths, len(request), len(response))
        body = b"".join((_id_bytes(recommendation_id), fields, self._encoded, request, response))
        size = _HEAD.size + len(body)
        if size > self._size:
            return
        if self._place + size > self._size:
            self._place = 0
        self._map[self._place : self._place + size] = _HEAD.pack(_MAGIC, zlib.crc32(body), len(body)) + body
        self._place += size

    def close(self) -> None:
        """Unmap the file."""
        if self._size:
            self._map.close()


def keep_rings(folder: Path, *, workers: Collection[str]) -> None:
    """Remove the files of workers that are not started any more."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.stem not in workers:
            path.unlink(missing_ok=True)


def find_answer(folder: Path, recommendation_id: str) -> RecordedAnswer | None:
    """Return what a worker of this host has recorded of an answer; None for nothing, or no longer.

    Called in a thread: it looks through the files of all workers.
    """
    try:
        name = _id_bytes(recommendation_id)
    except ValueError:
        return None
    if len(name) != _ID_BYTES:
        return None
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if (mapped := _map(path, mmap.ACCESS_READ)) is not None:
            with mapped:
                if (answer := _search(mapped, name)) is not None:
                    return answer
    return None


def erase_answers(folder: Path) -> None:
    """Overwrite all answers of this host with zeros, while their workers go on.

    Raises:
        OSError: The file of a worker cannot be written; all others were.
    """
    errors: list[OSError] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            _erase(path)
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _erase(path: Path) -> None:
    if (mapped := _map(path, mmap.ACCESS_WRITE)) is not None:
        with mapped:
            for begin in range(0, len(mapped), _WINDOW_BYTES):
                end = min(begin + _WINDOW_BYTES, len(mapped))
                mapped[begin:end] = bytes(end - begin)


def _id_bytes(recommendation_id: str) -> bytes:
    """Return the bytes of an id, as of a UUID, which takes many times as long to parse.

    Raises:
        ValueError: It is none.
    """
    return bytes.fromhex(recommendation_id.removeprefix(_PREFIX).replace("-", ""))


def _map(path: Path, access: int) -> mmap.mmap | None:
    """Map a file; None for one that its worker begins anew at this moment."""
    try:
        with path.open("rb" if access == mmap.ACCESS_READ else "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            return mmap.mmap(file.fileno(), size, access=access) if size else None
    except FileNotFoundError:
        return None


def _search(mapped: mmap.mmap, name: bytes) -> RecordedAnswer | None:
    begin = 0
    while begin < len(mapped):
        place = mapped.find(name, begin, begin + _WINDOW_BYTES + _ID_BYTES)
        if place < 0:
            begin += _WINDOW_BYTES
            continue
        if (answer := _read(mapped, place)) is not None:
            return answer
        begin = place + 1
    return None


def _read(mapped: mmap.mmap, place: int) -> RecordedAnswer | None:
    """Return the answer whose id stands at a place; None where it is not whole."""
    if place < _HEAD.size:
        return None
    magic, checksum, size = _HEAD.unpack_from(mapped, place - _HEAD.size)
    body = bytes(mapped[place : place + size])
    if magic != _MAGIC or size < _ID_BYTES + _BODY.size or len(body) < size or zlib.crc32(body) != checksum:
        return None
    epoch, offset, millis, *lengths = _BODY.unpack_from(body, _ID_BYTES)
    parts, begin = list[bytes](), _ID_BYTES + _BODY.size
    for length in lengths:
        parts.append(body[begin : begin + length])
        begin += length
    operation, deployment_id, location = (part.decode() for part in parts[:3])
    return RecordedAnswer(operation, deployment_id, location, Position(epoch, offset), millis, *parts[3:])
