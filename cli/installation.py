"""The data directory of one machine: its layout, and the secrets that are made in it.

- `keys/private.pem`: signs tokens; read by `up` and `keys` only, never handed to a process
- `keys/public.pem`: checks tokens
- `keys/tokens/NAME.token`: one per process, renewed at each start
- `keys/access_keys.json`: what applications sign their requests with
- `store/`: datasets, artifacts, outputs
- `s3/BUCKET/`: what `s3://BUCKET/...` stands for where no S3-compatible service is set
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from common.access_keys import AccessKey, AccessKeys
from common.auth import TokenIssuer, generate_key_pair
from common.errors import InvalidInput, TailorbirdError

__all__ = ["TOKEN_ROLES", "AlreadyRunning", "Installation", "Running"]

#: The role of each process that calls others. The control plane calls nobody and gets no token.
TOKEN_ROLES: Final = {
    "events_service": "events",
    "runtime_service": "runtime",
    "trainer": "trainer",
    "gateway": "gateway",
}
_TOKEN_LIFETIME = timedelta(days=365)


class AlreadyRunning(TailorbirdError):
    """Another `tailorbird up` runs in the data directory."""

    code = "FAILED_PRECONDITION"
    reason = "AlreadyRunning"


@dataclass(frozen=True, slots=True)
class Running:
    """What a running system tells about itself, for commands that come later."""

    process_id: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class Installation:
    """One data directory.

    Args:
        root: The directory.
    """

    root: Path

    @property
    def private_key(self) -> Path:
        """The key that signs tokens."""
        return self.root / "keys" / "private.pem"

    @property
    def public_key(self) -> Path:
        """The key that checks tokens."""
        return self.root / "keys" / "public.pem"

    @property
    def access_keys_file(self) -> Path:
        """The file of access keys."""
        return self.root / "keys" / "access_keys.json"

    @property
    def store(self) -> Path:
        """The shared store."""
        return self.root / "store"

    @property
    def buckets(self) -> Path:
        """Folder whose folders are buckets."""
        return self.root / "s3"

    def token_file(self, process: str) -> Path:
        """The token of a process."""
        return self.root / "keys" / "tokens" / f"{process}.token"

    def prepare(self) -> None:
        """Make what is missing: folders that only the owner can enter, the key pair, a fresh token for each process.

        Raises:
            InvalidInput: The directory cannot be made or written.
        """
        try:
            for folder in (self.root, self.root / "keys", self.root / "keys" / "tokens", self.store, self.buckets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self.ensure_key_pair()
            issuer = self.issuer()
            for process, role in TOKEN_ROLES.items():
                write_secret(self.token_file(process), issuer.issue(role, subject=process, lifetime=_TOKEN_LIFETIME))
        except OSError as error:
            raise InvalidInput(
                f"`data-dir`: got {self.root}, which cannot be written ({error}), want a directory of your own"
            ) from error

    def ensure_key_pair(self) -> None:
        """Make the key pair if there is none."""
        if not self.private_key.exists():
            self.private_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            generate_key_pair(self.private_key, self.public_key)

    def issuer(self) -> TokenIssuer:
        """Return what makes tokens.

        Raises:
            InvalidInput: There is no key, or it cannot be read.
        """
        try:
            return TokenIssuer(self.private_key.read_bytes())
        except OSError as error:
            raise InvalidInput(
                f"`data-dir`: got {self.root}, whose signing key cannot be read ({error.strerror}), want one that "
                "`tailorbird up` has been started in"
            ) from error

    def access_keys(self) -> AccessKeys:
        """Return the access keys."""
        return AccessKeys(self.access_keys_file)

    def first_access_key(self) -> AccessKey | None:
        """Make an access key if there is no valid one; None when there is."""
        keys = self.access_keys()
        return None if any(key.active for key in keys.list()) else keys.create("first")

    @contextmanager
    def lock(self, running: Running) -> Iterator[None]:
        """Hold the directory, and tell others how to reach the system, until the block ends.

        The kernel lets go of the lock of a process that dies, so no stale one can be left behind.

        Raises:
            AlreadyRunning: Another process holds it.
        """
        descriptor = os.open(self.root / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                other = self.running()
                known = f" (process {other.process_id}, {other.endpoint})" if other else ""
                raise AlreadyRunning(
                    f"`data-dir`: got {self.root}, in which another `tailorbird up` runs{known}, want one of its own: "
                    "stop the other, or name another directory and --port-base"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(running)).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def running(self) -> Running | None:
        """Return what runs in this directory, None when nothing does."""
        path = self.root / "up.lock"
        if not path.exists():
            return None
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                # Between locking and writing the file is empty for a moment.
                text = file.read()
                return Running(**json.loads(text)) if text else None
        return None


def write_secret(path: Path, text: str) -> None:
    """Replace a file, which only its owner can read at any moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
