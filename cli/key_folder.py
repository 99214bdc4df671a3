"""The folder of the key pair that tokens are signed with, of the list of issued tokens, and of revocations.

- `private.pem`: signs tokens; read by `up` and `keys` only, never given to a process
- `public.pem`: checks tokens
- `issued.json`: the tokens that `keys token` issued, without the tokens themselves
- `revoked.json`: the revocations; lies in the same folder as the public key wherever tokens are checked
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from common.access_keys import AccessKey
from common.auth import Identity, Revocations, TokenIssuer, TokenVerifier, generate_key_pair
from common.clock import Clock, SystemClock
from common.errors import InvalidInput, Unauthenticated, Unavailable
from common.private_files import replace_private
from common.process.file_lock import hold_writer_lock

__all__ = ["PROCESS_TOKEN_LIFETIME", "TOKEN_ROLES", "IssuedToken", "KeyFolder", "TokenKeeper", "for_all"]

#: The role of each process that calls others. The control plane calls none of them and gets no token.
TOKEN_ROLES: Final = {
    "events_service": "events",
    "runtime_service": "runtime",
    "trainer": "trainer",
    "gateway": "gateway",
}
#: Short, so that a leaked token is soon useless; tokens are renewed after half of it.
PROCESS_TOKEN_LIFETIME: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An issued token as `keys tokens` lists it; `issued_at` and `ends_at` are seconds since 1970-01-01 UTC."""

    token_id: str
    role: str
    subject: str
    issued_at: float
    ends_at: float


class KeyFolder:
    """A folder of keys.

    Args:
        folder: The folder; need not exist before `ensure`.
        clock: Source of the current time.
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
        """Create the folder and the key pair if there is none.

        Raises:
            OSError: They cannot be created.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.private_key.exists():
            generate_key_pair(self.private_key, self.public_key)

    def issuer(self) -> TokenIssuer:
        """Return an issuer of tokens.

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
        """Return a verifier of tokens, which refuses revoked ones."""
        return TokenVerifier.of_file(self.public_key, clock=self.clock)

    def revocations(self) -> Revocations:
        """Return the revocations."""
        return Revocations(self.revoked_file, clock=self.clock)

    def issue_for(self, key: AccessKey, *, lifetime: timedelta) -> str:
        """Issue a token that may do what an access key may do now; the errors of `issue`."""
        policies = tuple(key.policies.values())
        token = self.issuer().issue(
            "client",
            subject=key.access_key_id,
            lifetime=lifetime,
            account=key.account,
            user=key.name,
            policies=policies,
        )
        return self._listed(token)

    def issue(self, role: str, *, subject: str, lifetime: timedelta, account: str | None = None) -> str:
        """Issue a token to a person or an application, and add it to the list of issued tokens.

        Raises:
            InvalidInput: There is no key, no such role, or the account does not have 12 digits.
            Unavailable: The list of tokens cannot be written.
        """
        return self._listed(self.issuer().issue(role, subject=subject, lifetime=lifetime, account=account))

    def _listed(self, token: str) -> str:
        """Add a token to the list of issued tokens and return it."""
        identity = self.verifier().verify(token)
        issued_token = IssuedToken(
            identity.token_id, identity.role, identity.subject, identity.issued_at, identity.expires_at
        )
        path = self.folder / "issued.json"
        try:
            with hold_writer_lock(path):
                replace_private(path, json.dumps([asdict(item) for item in [*self.issued(), issued_token]], indent=2))
        except OSError as error:
            raise Unavailable(f"keys: {path} cannot be written: {error.strerror}") from error
        return token

    def issued(self) -> list[IssuedToken]:
        """Return the issued tokens that have not expired, oldest first.

        Raises:
            InvalidInput: The list is malformed or cannot be read.
        """
        path = self.folder / "issued.json"
        try:
            entries: Any = json.loads(path.read_text())
            issued = [IssuedToken(**entry) for entry in entries]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"`keys`: got {path}, which cannot be read ({type(error).__name__}), want a file written by "
                "`tailorbird keys token`"
            ) from error
        now = self.clock.now().timestamp()
        return [item for item in issued if item.ends_at > now]


class TokenKeeper:
    """Renews the tokens of processes: after half of their lifetime, and at once when one is not valid.

    Args:
        keys: The signing key.
        files: The file of each process's token, by process.
    """

    def __init__(self, keys: KeyFolder, files: Mapping[str, Path]) -> None:
        self._keys = keys
        self._files = files
        self._issuer = keys.issuer()
        self._verifier = keys.verifier()

    def renew(self) -> list[str]:
        """Renew the tokens that are due, and return their processes; cheap when none is due.

        Raises:
            OSError: A token cannot be written; the other ones are.
        """
        due = [process for process, path in self._files.items() if self._is_due(process, path)]
        for_all(due, self._renew)
        return due

    def remaining(self) -> dict[str, timedelta]:
        """Return for how long each process's token is still valid; zero for one that is not."""
        now = self._keys.clock.now()
        identities = {process: self._identity(path) for process, path in self._files.items()}
        return {
            process: datetime.fromtimestamp(identity.expires_at, UTC) - now if identity is not None else timedelta()
            for process, identity in identities.items()
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
    """Call an action for every name, also after it failed for one.

    Raises:
        OSError: The first error of the action.
    """
    errors = []
    for name in names:
        try:
            action(name)
        except OSError as error:
            errors.append(error)
    if errors:
        raise errors[0]
