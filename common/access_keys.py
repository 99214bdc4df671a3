"""The access keys that applications sign their requests with, in one file that only its owner can read.

Signatures are symmetric, so the secrets themselves must be stored: encrypted with a master key from another place.
The file is replaced atomically and checked on every use: a key that is revoked by another process stops working with
the next request. Files of version 1, with plain secrets, are read, and become version 2 when they are next written.
"""

from __future__ import annotations

import json
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from common.auth import check_policy, is_account
from common.clock import Clock, SystemClock
from common.errors import InvalidInput, LimitExceeded, ResourceNotFound, TailorbirdError, Unavailable, invalid
from common.master_keys import MasterKey, MasterKeyFile, MasterKeys, MasterKeySource
from common.private_files import replace_private
from common.process.file_lock import hold_writer_lock

__all__ = ["AccessKey", "AccessKeys"]

_FORMAT_VERSION: Final = 2
_PLAIN_VERSION: Final = 1
#: How long a file that was refused is not read again unless it changes: requests of anybody make it be read.
_RETRY_SECONDS: Final = 1.0
#: IAM's own limit of policies attached to one user.
_MAX_POLICIES: Final = 10
_POLICY_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@\-]{1,128}")
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
        account: The account that its requests act in, 12 digits; None is the installation's own.
        policies: What it may do, as documents of IAM's JSON by name; a key without any may do everything.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    account: str | None = None
    policies: Mapping[str, str] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether requests signed with it are accepted."""
        return self.revoked_at is None


@dataclass(frozen=True, slots=True)
class _Refused:
    """A state of the file that could not be read, why, and until when nobody tries again."""

    stamp: tuple[int, ...]
    error: TailorbirdError
    until_seconds: float


class AccessKeys:
    """The keys in one file; safe to share between threads, and between processes by the file's lock.

    Args:
        path: The file. It need not exist: no file means no keys.
        master_keys: What the secrets are encrypted with; None for the file `master.key` in the same folder.
        clock: Source of the present time.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        path: Path,
        *,
        master_keys: MasterKeySource | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._master_keys = master_keys or MasterKeyFile(path.with_name("master.key"))
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._keys: Mapping[str, AccessKey] = {}
        self._refused: _Refused | None = None

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
            InvalidInput: The file can be read by others, is not a file of access keys, or is encrypted with another
                master key.
            Unavailable: The file, or that of the master key, cannot be read.
        """
        return self._current().get(access_key_id)

    def create(self, name: str, *, account: str | None = None) -> AccessKey:
        """Create a key, write it to the file and return it.

        Args:
            name: Who or what will use it, 1 to 63 characters; need not be unique.
            account: The account that its requests act in, 12 digits; None is the installation's own.

        Raises:
            InvalidInput: The name is empty or too long, the account has not 12 digits, or the file is in a bad state
                (see `find`).
            Unavailable: The file cannot be written.
        """
        if account is not None and not is_account(account):
            raise invalid("account", got=account, want="12 digits")
        if not 0 < len(name.strip()) <= _MAX_NAME:
            raise invalid("name", got=name, want=f"1 to {_MAX_NAME} characters")
        key = AccessKey(
            access_key_id=_PREFIX + _random(_ID_ALPHABET, _ID_LENGTH - len(_PREFIX)),
            secret_access_key=_random(_SECRET_ALPHABET, _SECRET_LENGTH),
            name=name.strip(),
            created_at=self._clock.now(),
            account=account,
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
        return self._update(
            access_key_id, lambda key: replace(key, revoked_at=self._clock.now()) if key.active else key
        )

    def attach_policy(self, access_key_id: str, policy_name: str, document: str) -> AccessKey:
        """Attach a policy to a key, in place of one of the same name, and return the key.

        Args:
            access_key_id: Which key.
            policy_name: 1 to 128 letters, digits and `_+=,.@-`.
            document: IAM's JSON.

        Raises:
            InvalidInput: The name or the document is malformed (see `check_policy`), or the file is in a bad state.
            LimitExceeded: The key has as many policies as a key may have.
            ResourceNotFound: There is no such key.
            Unavailable: The file cannot be written.
        """
        if _POLICY_NAME.fullmatch(policy_name) is None:
            raise invalid("name", got=policy_name, want="1 to 128 letters, digits and _+=,.@-")
        policy = check_policy(document)

        def attach(key: AccessKey) -> AccessKey:
            policies = {**key.policies, policy_name: policy}
            if len(policies) > _MAX_POLICIES:
                raise LimitExceeded(f"`policy`: got one more, want at most {_MAX_POLICIES} attached to a key")
            return replace(key, policies=policies)

        return self._update(access_key_id, attach)

    def detach_policy(self, access_key_id: str, policy_name: str) -> AccessKey:
        """Detach a policy from a key and return the key; without any policy it may do everything.

        Raises:
            ResourceNotFound: There is no such key, or it has no such policy.
            InvalidInput: The file is in a bad state (see `find`).
            Unavailable: The file cannot be written.
        """

        def detach(key: AccessKey) -> AccessKey:
            if policy_name not in key.policies:
                attached = ", ".join(key.policies) or "none"
                raise ResourceNotFound(f"`name`: got {policy_name!r}, want a policy of the key, which has {attached}")
            return replace(key, policies={name: text for name, text in key.policies.items() if name != policy_name})

        return self._update(access_key_id, detach)

    def encrypt(self) -> None:
        """Write the file again, its secrets encrypted with the present master key; the errors of `create`."""
        with self._exclusive():
            if self._path.exists():
                self._write(self._current())

    def rotate_master_key(self) -> None:
        """Encrypt the secrets with a new master key, and forget the others.

        A process that ends in between leaves secrets that can be read, and a rotation that can be made again.

        Raises:
            InvalidInput: The master key is not in a file, another file of access keys beside one of the two files is
                encrypted with it, too, or a file is in a bad state (see `find`).
            Unavailable: A file cannot be read or written.
        """
        with self._exclusive():
            keys = self._current()
            self._check_shared_by_none(self._master_keys.ensure())
            made = MasterKey.generate()
            self._master_keys.replace(MasterKeys([made, *self._master_keys.ensure().keys]))
            if self._path.exists():
                self._write(keys)
            self._master_keys.replace(MasterKeys([made]))

    def _check_shared_by_none(self, master_keys: MasterKeys) -> None:
        """Check that no other file becomes unreadable without these master keys."""
        marks = [f'"{key.key_id}:' for key in master_keys.keys]
        folders = {folder.resolve() for folder in (self._path.parent, self._master_keys.folder) if folder is not None}
        for path in sorted(path for folder in folders for path in folder.glob("*.json")):
            if path == self._path.resolve():
                continue
            try:
                text = path.read_text(errors="replace")
            except OSError as error:
                raise _unreadable(path, error) from error
            if any(mark in text for mark in marks):
                raise InvalidInput(
                    f"`master_key`: got one that {path} is encrypted with, too, want one of this file alone: put a new "
                    "key before the old one, run `tailorbird keys encrypt` for each file, then remove the old one"
                )

    def _update(self, access_key_id: str, edit: Callable[[AccessKey], AccessKey]) -> AccessKey:
        """Edit one key in the file and return it."""
        with self._exclusive():
            keys = self._current()
            key = keys.get(access_key_id)
            if key is None:
                raise ResourceNotFound(f"`access_key_id`: got {access_key_id!r}, want one of this installation's keys")
            edited = edit(key)
            if edited is not key:
                self._write({**keys, access_key_id: edited})
        return edited

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
                self._keys = self._read_again(stamp)
                self._stamp, self._refused = stamp, None
            return self._keys

    def _read_again(self, stamp: tuple[int, ...]) -> dict[str, AccessKey]:
        seconds, refused = self._monotonic(), self._refused
        if refused is not None and refused.stamp == stamp and seconds < refused.until_seconds:
            raise type(refused.error)(refused.error.message)
        try:
            return self._read()
        except (InvalidInput, Unavailable) as error:
            self._refused = _Refused(stamp, error, seconds + _RETRY_SECONDS)
            raise

    def _read(self) -> dict[str, AccessKey]:
        # The master keys first: one that a rotation makes in between is found at the second try.
        for is_last_try in (False, True):
            master_keys = self._master_keys.read()
            try:
                document = json.loads(self._path.read_text())
                if document["version"] not in (_FORMAT_VERSION, _PLAIN_VERSION):
                    raise invalid("access_keys_file.version", got=document["version"], want=f"{_FORMAT_VERSION}")
                secret_of = _plain_secret if document["version"] == _PLAIN_VERSION else _Decryption(master_keys)
                keys = [_from_document(item, secret_of) for item in document["keys"]]
            except _WrongMasterKey:
                if is_last_try:
                    break
            except OSError as error:
                raise _unreadable(self._path, error) from error
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                # The error's own text may quote the file.
                raise InvalidInput(
                    f"`access_keys_file`: got {self._path}, which cannot be understood ({type(error).__name__}), want "
                    "a file written by `tailorbird keys`"
                ) from None
            else:
                return {key.access_key_id: key for key in keys}
        raise InvalidInput(
            f"`master_key`: got {'another key' if master_keys else 'none'}, want the one that the secrets in "
            f"{self._path} are encrypted with: the file `master.key` beside it, or the setting `master_key_file` or "
            "`master_key`"
        )

    def _write(self, keys: Mapping[str, AccessKey]) -> None:
        master_keys = self._master_keys.ensure()
        document = {"version": _FORMAT_VERSION, "keys": [_to_document(key, master_keys) for key in keys.values()]}
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


class _WrongMasterKey(Exception):
    """A secret is encrypted with a key that is not among the present ones."""


class _Decryption:
    """Returns the secret of an entry of a file whose secrets are encrypted."""

    def __init__(self, master_keys: MasterKeys | None) -> None:
        self._master_keys = master_keys

    def __call__(self, entry: Mapping[str, Any]) -> str:
        if self._master_keys is None:
            raise _WrongMasterKey
        secret = self._master_keys.decrypt(entry["encrypted_secret"], purpose=entry["access_key_id"])
        if secret is None:
            raise _WrongMasterKey
        return secret


def _plain_secret(entry: Mapping[str, Any]) -> str:
    secret: str = entry["secret_access_key"]
    return secret


def _to_document(key: AccessKey, master_keys: MasterKeys) -> dict[str, Any]:
    return {
        "access_key_id": key.access_key_id,
        "encrypted_secret": master_keys.encrypt(key.secret_access_key, purpose=key.access_key_id),
        "name": key.name,
        "account": key.account,
        "policies": {name: json.loads(document) for name, document in key.policies.items()},
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _from_document(entry: Mapping[str, Any], secret_of: Callable[[Mapping[str, Any]], str]) -> AccessKey:
    account = entry.get("account")
    if account is not None and not is_account(account):
        raise ValueError(account)
    return AccessKey(
        access_key_id=entry["access_key_id"],
        secret_access_key=secret_of(entry),
        name=entry["name"],
        created_at=datetime.fromisoformat(entry["created_at"]),
        revoked_at=datetime.fromisoformat(entry["revoked_at"]) if entry["revoked_at"] else None,
        account=account,
        # Checked again: a file that was edited by hand must not be read as something else than it says.
        policies={name: check_policy(json.dumps(policy)) for name, policy in entry.get("policies", {}).items()},
    )


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"`access_keys_file`: got {path}, which cannot be read: {error.strerror}")


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"`access_keys_file`: got {path}, which cannot be written: {error.strerror}")
