"""The data directory of one machine: its layout, and the secrets that are made in it.

- `keys/`: what signs and checks tokens, see `cli.key_folder`
- `keys/tokens/NAME.token`: one per process, good for an hour and renewed while `up` runs
- `keys/access_keys.json`: what applications sign their requests with
- `store/`: datasets, artifacts, outputs
- `s3/BUCKET/`: what `s3://BUCKET/...` stands for where no S3-compatible service is set
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.key_folder import TOKEN_ROLES, KeyFolder, TokenKeeper
from common.access_keys import AccessKey, AccessKeys
from common.errors import InvalidInput, TailorbirdError
from common.process.file_lock import FileLock, LockTaken, read_holder
from common.settings import TlsFiles

__all__ = ["AlreadyRunning", "Installation", "Running"]


class AlreadyRunning(TailorbirdError):
    """Another `tailorbird up` runs in the data directory."""

    code = "FAILED_PRECONDITION"
    reason = "AlreadyRunning"


@dataclass(frozen=True, slots=True)
class Running:
    """What a running system tells about itself, for commands that come later.

    Attributes:
        process_id: Of `tailorbird up`.
        endpoint: URL of the gateway.
        certificates: Paths of its certificate, key and authority, absolute; empty when it speaks plain text.
    """

    process_id: int
    endpoint: str
    certificates: tuple[str, ...] = ()

    @staticmethod
    def paths(tls: TlsFiles | None) -> tuple[str, ...]:
        """Return what `certificates` holds."""
        return () if tls is None else tuple(str(path) for path in (tls.cert_file, tls.key_file, tls.ca_file))

    @property
    def tls(self) -> TlsFiles | None:
        """The certificates to reach it with; None for plain text."""
        return TlsFiles(*map(Path, self.certificates)) if self.certificates else None


@dataclass(frozen=True, slots=True)
class Installation:
    """One data directory.

    Args:
        root: The directory.
    """

    root: Path

    @property
    def keys(self) -> KeyFolder:
        """What signs and checks tokens."""
        return KeyFolder(self.root / "keys")

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
        """Make what is missing: folders that only the owner can enter, the key pair, a token for each process.

        Raises:
            InvalidInput: The directory cannot be made or written.
        """
        try:
            for folder in (self.root, self.root / "keys", self.root / "keys" / "tokens", self.store, self.buckets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self.keys.ensure()
            self.token_keeper().renew()
        except OSError as error:
            raise InvalidInput(
                f"`data-dir`: got {self.root}, which cannot be written ({error}), want a directory of your own"
            ) from error

    def token_keeper(self) -> TokenKeeper:
        """Return what keeps the tokens of the processes good."""
        return TokenKeeper(self.keys, {process: self.token_file(process) for process in TOKEN_ROLES})

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
        try:
            lock = FileLock(self.root / "up.lock", holder=json.dumps(asdict(running)))
        except LockTaken as error:
            other = _to_running(error.holder)
            other_text = f" (process {other.process_id}, {other.endpoint})" if other else ""
            raise AlreadyRunning(
                f"`data-dir`: got {self.root}, in which another `tailorbird up` runs{other_text}, want one of its own: "
                "stop the other, or name another directory and --port-base"
            ) from error
        with lock:
            yield

    def running(self) -> Running | None:
        """Return what runs in this directory, None when nothing does."""
        return _to_running(read_holder(self.root / "up.lock"))


def _to_running(text: str | None) -> Running | None:
    # Between locking and writing the file is empty for a moment.
    if not text:
        return None
    document = json.loads(text)
    return Running(**{**document, "certificates": tuple(document["certificates"])})
