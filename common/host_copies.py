"""Artifacts as the processes of one host open them: one fetches and verifies at a time, and the others rely on it.

What was verified is noted beside the copies, file by file: its digest, and what the file system said of it before. A
file that was written to since has another time of change, which nobody can set, and is read again; so a host reads
every byte once, however many workers it has and however often they start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Final, TypeAlias

from common.artifacts import Manifest, Published, digest_of, open_published, remove_copies
from common.logs import get_logger
from common.private_files import private_folder, replace_private
from common.process.file_lock import hold_lock
from common.storage import Store

__all__ = ["HostCopies"]

#: How long a process waits at most while another one of the host fetches and verifies the same artifact.
_FETCH_SECONDS: Final = 600.0
_NOTES: Final = ".verified"
_log = get_logger(__name__)
#: Device, inode, bytes, and the times of the last writing and of the last change, in nanoseconds.
_Stamp: TypeAlias = list[int]


class HostCopies:
    """Methods are called from any thread of any process.

    Args:
        store: The shared store; a local one is used in place.
        cache: Local folder for copies, and for the notes of what was verified.
    """

    def __init__(self, store: Store, cache: Path) -> None:
        self._store = store
        self._cache = cache

    def open(self, location: str, kind: type[Manifest]) -> Published[Manifest]:
        """Open an artifact, after another process of this host that does the same; see `open_published`.

        Raises:
            ResourceNotFound: Nothing is published there.
            CorruptArtifact: A file is missing or differs from the manifest, or the layout is of an unknown version.
            Unavailable: The store cannot be reached.
            TimeoutError: Another process has been at it for ten minutes.
            OSError: The cache cannot be written.
        """
        private_folder(self._cache)
        folder = private_folder(self._cache / _NOTES)
        name = _name(location)
        with hold_lock(folder / f"{name}.lock", seconds=_FETCH_SECONDS):
            notes = _Notes(folder / f"{name}.json")
            published = open_published(self._store, location, cache=self._cache, kind=kind, digest=notes.digest)
            notes.keep()
        return published

    def forget_others(self, locations: Collection[str]) -> list[str]:
        """Remove the local copies of all artifacts but these; return the locations that were removed."""
        kept = {f"{_name(location)}.json" for location in locations}
        for note in (self._cache / _NOTES).glob("*.json"):
            if note.name not in kept:
                note.unlink(missing_ok=True)
        return remove_copies(self._cache, keep=locations)


class _Notes:
    """What was verified of one artifact.

    Args:
        path: Of the file; without one, or with one that cannot be read, nothing was verified.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _read(path)
        self._now: dict[str, tuple[_Stamp, str]] = {}

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file, read only if it was not, or was changed since."""
        stamp = _stamp(path)
        noted = self._before.get(str(path))
        digest = noted[1] if noted is not None and noted[0] == stamp else digest_of(path)
        # One that changes while it is read is read again the next time.
        if stamp == _stamp(path):
            self._now[str(path)] = stamp, digest
        return digest

    def keep(self) -> None:
        """Write down what was verified, for the others."""
        if self._now == self._before:
            return
        try:
            replace_private(self._path, json.dumps(self._now))
        except OSError as error:  # the next process reads all bytes, which is only slower
            _log.warning("verification_not_noted", file=str(self._path), cause=str(error))


def _read(path: Path) -> dict[str, tuple[_Stamp, str]]:
    try:
        return {name: (list(stamp), str(digest)) for name, (stamp, digest) in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("verification_unreadable", file=str(path), cause=str(error))
        return {}


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _name(location: str) -> str:
    return hashlib.sha256(location.encode()).hexdigest()[:32]
