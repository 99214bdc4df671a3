"""The keys that secrets at rest are encrypted with (AES-256-GCM), kept apart from what they encrypt.

Several can be valid at a time: the first encrypts, all decrypt. So a key is replaced without a moment at which a secret
cannot be read: the new one comes first, the secrets are encrypted again, the old one goes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import InvalidInput, Unavailable
from common.private_files import replace_private

__all__ = ["GivenMasterKeys", "MasterKey", "MasterKeyFile", "MasterKeySource", "MasterKeys", "master_key_source"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SEPARATOR: Final = re.compile(r"[\s,]+")
_WANT: Final = "keys of `tailorbird keys new-master-key`: 44 characters each, separated by commas or lines"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One key.

    Attributes:
        key_bytes: 32 random bytes; kept out of the representation.
    """

    key_bytes: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> MasterKey:
        """Return a new key."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    @property
    def text(self) -> str:
        """The key as it is written into files and settings: 44 characters."""
        return base64.urlsafe_b64encode(self.key_bytes).decode()

    @property
    def key_id(self) -> str:
        """What tells it from others: 16 hexadecimal digits, from which nothing can be learnt about the key."""
        return hashlib.sha256(b"tailorbird master key\0" + self.key_bytes).hexdigest()[:16]


class MasterKeys:
    """Encrypts and decrypts short texts.

    Args:
        keys: The keys, at least one; the first encrypts.
    """

    def __init__(self, keys: Sequence[MasterKey]) -> None:
        self.keys = tuple(keys)
        self._by_id = {key.key_id: key for key in keys}

    @classmethod
    def parse(cls, text: str, *, source: str) -> MasterKeys:
        """Return the keys in a text.

        Args:
            text: One or several keys.
            source: Where it is from, for the error; the text itself is never quoted.

        Raises:
            InvalidInput: There is none, or one is malformed.
        """
        try:
            keys = [MasterKey(base64.b64decode(part, altchars=b"-_", validate=True)) for part in _parts(text)]
        except ValueError:
            keys = []
        if not keys or any(len(key.key_bytes) != _KEY_BYTES for key in keys):
            raise InvalidInput(f"`master_key`: got {source}, which cannot be understood, want {_WANT}")
        return cls(keys)

    @property
    def text(self) -> str:
        """The keys as they are written into a file, one a line."""
        return "".join(f"{key.text}\n" for key in self.keys)

    def encrypt(self, plain: str, *, purpose: str) -> str:
        """Return a text encrypted with the first key.

        Args:
            plain: The text.
            purpose: What it is the secret of; only with the same purpose can it be decrypted.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key = self.keys[0]
        encrypted = AESGCM(key.key_bytes).encrypt(nonce, plain.encode(), purpose.encode())
        return f"{key.key_id}:{base64.b64encode(nonce + encrypted).decode()}"

    def decrypt(self, text: str, *, purpose: str) -> str | None:
        """Return what was encrypted; None when it was encrypted with another key, for another purpose, or altered."""
        key_id, _, encoded = text.partition(":")
        key = self._by_id.get(key_id)
        if key is None:
            return None
        try:
            data = base64.b64decode(encoded, validate=True)
            return AESGCM(key.key_bytes).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):
            return None


class MasterKeySource(Protocol):
    """Where the master keys come from.

    Attributes:
        folder: The folder of their file; None without one.
    """

    folder: Path | None

    def read(self) -> MasterKeys | None:
        """Return the present keys; None when there are none yet.

        Raises:
            InvalidInput: They are malformed, or can be read by others.
            Unavailable: They cannot be read.
        """
        ...

    def ensure(self) -> MasterKeys:
        """Return the present keys, made if there are none; the errors of `read`."""
        ...

    def replace(self, keys: MasterKeys) -> None:
        """Put other keys in their place.

        Raises:
            InvalidInput: The keys are not this program's to replace.
            Unavailable: They cannot be written.
        """
        ...


class MasterKeyFile:
    """Master keys in a file that only its owner can read.

    Args:
        path: The file; made when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder: Path | None = path.parent

    def read(self) -> MasterKeys | None:
        """Return the keys in the file; None when there is no file."""
        try:
            mode = self._path.stat().st_mode
            text = self._path.read_text()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            text = ""
        except OSError as error:
            raise Unavailable(f"`master_key_file`: got {self._path}, which cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise InvalidInput(
                f"`master_key_file`: got {self._path} with mode {mode & 0o777:04o}, want 0600: nobody but its owner "
                f"may read it (chmod 600 {self._path})"
            )
        return MasterKeys.parse(text, source=str(self._path))

    def ensure(self) -> MasterKeys:
        """Return the keys in the file, which is made if there is none."""
        keys = self.read()
        if keys is None:
            keys = MasterKeys([MasterKey.generate()])
            self.replace(keys)
        return keys

    def replace(self, keys: MasterKeys) -> None:
        """Replace the file."""
        try:
            replace_private(self._path, keys.text)
        except OSError as error:
            raise Unavailable(
                f"`master_key_file`: got {self._path}, which cannot be written: {error.strerror}"
            ) from error


class GivenMasterKeys:
    """Master keys that a setting holds, such as those from a manager of secrets.

    Args:
        text: One or several keys.

    Raises:
        InvalidInput: The text is malformed.
    """

    def __init__(self, text: str) -> None:
        self._keys = MasterKeys.parse(text, source="a text")
        self.folder: Path | None = None

    def read(self) -> MasterKeys:
        """Return the keys."""
        return self._keys

    def ensure(self) -> MasterKeys:
        """Return the keys."""
        return self._keys

    def replace(self, keys: MasterKeys) -> None:  # noqa: ARG002 - the interface
        """Refuse: whoever set them replaces them."""
        raise InvalidInput(
            "`master_key`: got a key from a setting, want one in a file: put a new key before the old one in the "
            "setting (NEW,OLD), run `tailorbird keys encrypt`, then remove the old one"
        )


def master_key_source(*, text: str | None, file: Path | None) -> MasterKeySource | None:
    """Return the source that two settings name; None for neither.

    Args:
        text: The setting `master_key`, which comes first.
        file: The setting `master_key_file`.

    Raises:
        InvalidInput: The text is malformed.
    """
    if text:
        return GivenMasterKeys(text)
    return None if file is None else MasterKeyFile(file)


def _parts(text: str) -> list[str]:
    return [part for part in _SEPARATOR.split(text) if part]
