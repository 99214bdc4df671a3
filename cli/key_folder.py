"""The folder that tokens are made in: the key pair, what was issued to people, and what was revoked.

- `private.pem`: signs tokens; read by `up` and `keys` only, never handed to a process
- `public.pem`: checks tokens
- `issued.json`: the tokens that people were given, without the tokens themselves
- `revoked.json`: tokens that are refused before they end; lies beside every public key that processes check with
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from common.auth import Identity, Revocations, TokenIssuer, TokenVerifier, generate_key_pair
from common.clock import Clock, SystemClock
from common.errors import InvalidInput, Unauthenticated, Unavailable
from common.private_files import replace_private
from common.process.file_lock import hold_writer_lock

__all__ = ["PROCESS_TOKEN_LIFETIME", "TOKEN_ROLES", "IssuedToken", "KeyFolder", "TokenKeeper", "for_all"]

#: The role of each process that calls others. The control plane calls nobody and gets no token.
TOKEN_ROLES: Final = {
    "events_service": "events",
    "runtime_service": "runtime",
    "trainer": "trainer",
    "gateway": "gateway",
}
#: A token that leaks is worth little after an hour; renewed at half of it, long before its end.
PROCESS_TOKEN_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What is known of a token that a person was given; `issued_at` and `ends_at` are seconds since 1970-01-01 UTC."""

    token_id: str
    role: str
    subject: str
    issued_at: float
    ends_at: float


class KeyFolder:
    """One folder of keys.

    Args:
        folder: Need not exist; see `ensure`.
        clock: Source of the present time.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock = clock or SystemClock()

    @property
    def private_key(self) -> Path:
        """The key that signs tokens."""
        return self.folder / "private.pem"

    @property
    def public_key(self) -> Path:
        """The key that checks tokens."""
        return self.folder / "public.pem"

    @property
    def revoked_file(self) -> Path:
        """The file that names revoked tokens."""
        return self.folder / Revocations.FILE_NAME

    def ensure(self) -> None:
        """Make the folder and the key pair if there is none.

        Raises:
            OSError: They cannot be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.private_key.exists():
            generate_key_pair(self.private_key, self.public_key)

    def issuer(self) -> TokenIssuer:
        """Return what makes tokens.

        Raises:
            InvalidInput: There is no key, or it cannot be read.
        """
        try:
            return TokenIssuer(self.private_key.read_bytes(), clock=self.clock)
        except OSError as error:
            raise InvalidInput(
                f"`keys`: got {self.folder}, whose signing key cannot be read ({error.strerror}), want the `keys` "
                "folder of a --data-dir that `tailorbird up` has been started in, or --keys FOLDER"
            ) from error

    def verifier(self) -> TokenVerifier:
        """Return what checks tokens, the revoked ones included."""
        return TokenVerifier.of_file(self.public_key, clock=self.clock)

    def revocations(self) -> Revocations:
        """Return what is revoked."""
        return Revocations(self.revoked_file, clock=self.clock)

    def issue(self, role: str, *, subject: str, lifetime: timedelta) -> str:
        """Make a token for a person or an application, and remember that it was made.

        Raises:
            InvalidInput: There is no key, or the role is none.
            Unavailable: The list of tokens cannot be written.
        """
        token = self.issuer().issue(role, subject=subject, lifetime=lifetime)
        identity = self.verifier().verify(token)
        made = IssuedToken(identity.token_id, role, subject, identity.issued_at, identity.expires_at)
        path = self.folder / "issued.json"
        try:
            with hold_writer_lock(path):
                replace_private(path, json.dumps([asdict(item) for item in [*self.issued(), made]], indent=2))
        except OSError as error:
            raise Unavailable(f"keys: {path} cannot be written: {error.strerror}") from error
        return token

    def issued(self) -> list[IssuedToken]:
        """Return the tokens that people were given and that have not ended, oldest first.

        Raises:
            InvalidInput: Their list cannot be understood.
        """
        path = self.folder / "issued.json"
        try:
            found: Any = json.loads(path.read_text())
            known = [IssuedToken(**item) for item in found]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"`keys`: got {path}, which cannot be read ({type(error).__name__}), want a file written by "
                "`tailorbird keys token`"
            ) from error
        now = self.clock.now().timestamp()
        return [item for item in known if item.ends_at > now]


class TokenKeeper:
    """Keeps the tokens of processes good: each is renewed long before its end, and at once when it is refused.

    Args:
        keys: What signs them.
        files: Where each process reads its token, by process.
    """

    def __init__(self, keys: KeyFolder, files: Mapping[str, Path]) -> None:
        self._keys = keys
        self._files = files
        self._issuer = keys.issuer()
        self._verifier = keys.verifier()

    def renew(self) -> list[str]:
        """Renew what has to be, and return the processes whose token is new; cheap when there is nothing to do.

        Raises:
            OSError: A token cannot be written; the others are.
        """
        due = [process for process, path in self._files.items() if self._is_due(process, path)]
        for_all(due, self._renew)
        return due

    def remaining(self) -> dict[str, timedelta]:
        """Return for how long each process's token is good; zero for one that is not."""
        now = self._keys.clock.now()
        found = {process: self._identity(path) for process, path in self._files.items()}
        return {
            process: datetime.fromtimestamp(identity.expires_at, UTC) - now if identity is not None else timedelta()
            for process, identity in found.items()
        }

    def _renew(self, process: str) -> None:
        token = self._issuer.issue(TOKEN_ROLES[process], subject=process, lifetime=PROCESS_TOKEN_LIFETIME)
        self._files[process].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_private(self._files[process], token)

    def _is_due(self, process: str, path: Path) -> bool:
        identity = self._identity(path)
        if identity is None or (identity.role, identity.subject) != (TOKEN_ROLES[process], process):
            return True
        return identity.expires_at - self._keys.clock.now().timestamp() < PROCESS_TOKEN_LIFETIME.total_seconds() / 2

    def _identity(self, path: Path) -> Identity | None:
        try:
            return self._verifier.verify(path.read_text().strip())
        except (OSError, UnicodeDecodeError, Unauthenticated):
            return None


def for_all(names: Iterable[str], action: Callable[[str], None]) -> None:
    """Do something for every name, also after it failed for one.

    Raises:
        OSError: The first that was raised.
    """
    errors = []
    for name in names:
        try:
            action(name)
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]
