"""The access keys that applications sign their requests with, in one file that only its owner can read.

Signatures are symmetric, so the secrets themselves must be stored. The file is replaced atomically and checked on every
use: a key that is revoked by another process stops working with the next request.
"""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from common.clock import Clock, SystemClock
from common.errors import InvalidInput, ResourceNotFound, Unavailable, invalid
from common.private_files import replace_private
from common.process.file_lock import hold_writer_lock

__all__ = ["AccessKey", "AccessKeys"]

_FORMAT_VERSION = 1
_PREFIX = "TB"
_ID_LENGTH = 20
_SECRET_LENGTH = 40
_MAX_NAME = 63
# Letters and digits only: keys survive shells, environment files and URLs without quoting.
_ID_ALPHABET: Final = string.ascii_uppercase + "234567"
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One pair of id and secret.

    Attributes:
        access_key_id: Public part, 20 characters, begins with TB.
        secret_access_key: Private part, 40 letters and digits; kept out of the representation.
        name: Who or what uses it, for the person who manages keys.
        created_at: When it was made, UTC.
        revoked_at: When it stopped being valid, UTC; None while it is.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    name: str
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether requests signed with it are accepted."""
        return self.revoked_at is None


class AccessKeys:
    """The keys in one file; safe to share between threads, and between processes by the file's lock.

    Args:
        path: The file. It need not exist: no file means no keys.
        clock: Source of the present time.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._keys: Mapping[str, AccessKey] = {}

    @property
    def path(self) -> Path:
        """Where the keys are kept."""
        return self._path

    def list(self) -> tuple[AccessKey, ...]:
        """Return all keys, revoked ones included, oldest first; the errors of `find`."""
        return tuple(sorted(self._current().values(), key=lambda key: (key.created_at, key.access_key_id)))

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return a key, revoked or not, or None.

        Raises:
            InvalidInput: The file can be read by others, or is not a file of access keys.
            Unavailable: The file cannot be read.
        """
        return self._current().get(access_key_id)

    def create(self, name: str) -> AccessKey:
        """Create a key, write it to the file and return it.

        Args:
            name: Who or what will use it, 1 to 63 characters; need not be unique.

        Raises:
            InvalidInput: The name is empty or too long, or the file is in a bad state (see `find`).
            Unavailable: The file cannot be written.
        """
        if not 0 < len(name.strip()) <= _MAX_NAME:
            raise invalid("name", got=name, want=f"1 to {_MAX_NAME} characters")
        key = AccessKey(
            access_key_id=_PREFIX + _random(_ID_ALPHABET, _ID_LENGTH - len(_PREFIX)),
            secret_access_key=_random(_SECRET_ALPHABET, _SECRET_LENGTH),
            name=name.strip(),
            created_at=self._clock.now(),
        )
        with self._exclusive():
            self._write({**self._current(), key.access_key_id: key})
        return key

    def revoke(self, access_key_id: str) -> AccessKey:
        """Revoke a key permanently and return it; one that is revoked already stays as it is.

        Raises:
            ResourceNotFound: There is no such key.
            InvalidInput: The file is in a bad state (see `find`).
            Unavailable: The file cannot be written.
        """
        with self._exclusive():
            keys = dict(self._current())
            key = keys.get(access_key_id)
            if key is None:
                raise ResourceNotFound(f"`access_key_id`: got {access_key_id!r}, want one of this installation's keys")
            if key.active:
                key = replace(key, revoked_at=self._clock.now())
                self._write({**keys, access_key_id: key})
        return key

    def _current(self) -> Mapping[str, AccessKey]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if status.st_mode & 0o077:
            raise InvalidInput(
                f"`access_keys_file`: got {self._path} with mode {status.st_mode & 0o777:04o}, want 0600: nobody but "
                f"its owner may read secrets (chmod 600 {self._path})"
            )
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns)
        with self._lock:
            if stamp != self._stamp:
                self._keys = self._read()
                self._stamp = stamp
            return self._keys

    def _read(self) -> dict[str, AccessKey]:
        try:
            document = json.loads(self._path.read_text())
            if document["version"] != _FORMAT_VERSION:
                raise invalid("access_keys_file.version", got=document["version"], want=str(_FORMAT_VERSION))
            keys = [_from_document(item) for item in document["keys"]]
        except OSError as error:
            raise _unreadable(self._path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            # The error's own text may quote the file.
            raise InvalidInput(
                f"`access_keys_file`: got {self._path}, which cannot be understood ({type(error).__name__}), want "
                "a file written by `tailorbird keys`"
            ) from None
        return {key.access_key_id: key for key in keys}

    def _write(self, keys: Mapping[str, AccessKey]) -> None:
        document = {"version": _FORMAT_VERSION, "keys": [_to_document(key) for key in keys.values()]}
        try:
            replace_private(self._path, json.dumps(document, indent=2))
        except OSError as error:
            raise _unwritable(self._path, error) from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Exclude all other writers, in this process and in others."""
        with ExitStack() as stack:
            try:
                stack.enter_context(hold_writer_lock(self._path))
            except OSError as error:
                raise _unwritable(self._path, error) from error
            yield


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _to_document(key: AccessKey) -> dict[str, str | None]:
    return {
        "access_key_id": key.access_key_id,
        "secret_access_key": key.secret_access_key,
        "name": key.name,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _from_document(document: Mapping[str, Any]) -> AccessKey:
    return AccessKey(
        access_key_id=document["access_key_id"],
        secret_access_key=document["secret_access_key"],
        name=document["name"],
        created_at=datetime.fromisoformat(document["created_at"]),
        revoked_at=datetime.fromisoformat(document["revoked_at"]) if document["revoked_at"] else None,
    )


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"`access_keys_file`: got {path}, which cannot be read: {error.strerror}")


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"`access_keys_file`: got {path}, which cannot be written: {error.strerror}")
