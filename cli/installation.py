"""The data directory of one machine: its layout, and the secrets in it.

- `keys/`: the keys that sign and check tokens, see `cli.key_folder`
- `keys/tokens/NAME.token`: the token of a process, valid for an hour and renewed while `up` runs
- `keys/access_keys.json`: the access keys of applications, their secrets encrypted
- `keys/master.key`: what they are encrypted with, unless `TAILORBIRD_MASTER_KEY_FILE` or `TAILORBIRD_MASTER_KEY` is set
- `keys/recommendation.key`: the key of the ids of recommendations, see `common.recommendation_ids`
- `store/`: datasets, artifacts, outputs
- `s3/BUCKET/`: where `s3://BUCKET/...` is read from when no S3-compatible service is set
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
from common.master_keys import MasterKeyFile, MasterKeySource
from common.process.file_lock import FileLock, LockTaken, read_holder
from common.settings import TlsFiles

__all__ = ["AlreadyRunning", "Installation", "Running"]


class AlreadyRunning(TailorbirdError):
    """Another `tailorbird up` runs in the data directory."""

    code = "FAILED_PRECONDITION"
    reason = "AlreadyRunning"


@dataclass(frozen=True, slots=True)
class Running:
    """A running system, as it describes itself for other commands.

    Attributes:
        process_id: Process id of `tailorbird up`.
        endpoint: URL of the gateway.
        certificates: Absolute paths of its certificate, key and authority; empty when it speaks plain text.
        shows_metrics: Whether its processes show their figures.
    """

    process_id: int
    endpoint: str
    certificates: tuple[str, ...] = ()
    shows_metrics: bool = False

    @staticmethod
    def paths(tls: TlsFiles | None) -> tuple[str, ...]:
        """Return TLS files as the value of `certificates`."""
        return () if tls is None else tuple(str(path) for path in (tls.cert_file, tls.key_file, tls.ca_file))

    @property
    def tls(self) -> TlsFiles | None:
        """The TLS files to connect with; None for plain text."""
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
        """The folder of the keys that sign and check tokens."""
        return KeyFolder(self.root / "keys")

    @property
    def access_keys_file(self) -> Path:
        """The file of access keys."""
        return self.root / "keys" / "access_keys.json"

    @property
    def recommendation_key_file(self) -> Path:
        """The file of the key of the ids of recommendations."""
        return self.root / "keys" / "recommendation.key"

    @property
    def store(self) -> Path:
        """The shared store."""
        return self.root / "store"

    @property
    def buckets(self) -> Path:
        """Folder with a subfolder for each bucket."""
        return self.root / "s3"

    def token_file(self, process: str) -> Path:
        """Return the file of a process's token."""
        return self.root / "keys" / "tokens" / f"{process}.token"

    def prepare(self) -> None:
        """Create what is missing: the folders, readable by the owner only, the key pair, a token for each process.

        The key of the ids of recommendations too.

        Raises:
            InvalidInput: The directory cannot be created or written.
        """
        try:
            for folder in (self.root, self.root / "keys", self.root / "keys" / "tokens", self.store, self.buckets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self.keys.ensure()
            MasterKeyFile(self.recommendation_key_file).ensure()
            self.token_keeper().renew()
        except OSError as error:
            raise InvalidInput(
                f"`data-dir`: got {self.root}, which cannot be written ({error}), want a directory of your own"
            ) from error

    def token_keeper(self) -> TokenKeeper:
        """Return an object that renews the tokens of the processes."""
        return TokenKeeper(self.keys, {process: self.token_file(process) for process in TOKEN_ROLES})

    def access_keys(self, master_keys: MasterKeySource | None = None) -> AccessKeys:
        """Return the access keys.

        Args:
            master_keys: What their secrets are encrypted with; None for the file beside them.
        """
        return AccessKeys(self.access_keys_file, master_keys=master_keys)

    def first_access_key(self, master_keys: MasterKeySource | None = None) -> AccessKey | None:
        """Create an access key if there is no valid one; return it, or None when there was one."""
        keys = self.access_keys(master_keys)
        return None if any(key.active for key in keys.list()) else keys.create("first")

    @contextmanager
    def lock(self, running: Running) -> Iterator[None]:
        """Lock the directory until the block ends, and write into the lock file how to connect to the system.

        The kernel releases the lock of a process that dies, so that no stale lock can remain.

        Raises:
            AlreadyRunning: Another process has locked it.
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
        """Return the system that runs in this directory; None when none does."""
        return _to_running(read_holder(self.root / "up.lock"))


def _to_running(text: str | None) -> Running | None:
    # The file is empty for a moment between locking and writing.
    if not text:
        return None
    document = json.loads(text)
    return Running(**{**document, "certificates": tuple(document["certificates"])})
