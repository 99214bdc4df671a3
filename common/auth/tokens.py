"""Bearer tokens: JSON Web Tokens signed with Ed25519.

The issuer (`tailorbird up`, `tailorbird keys`) holds the private key. Services hold the public key and one
token each, for their own role, so that a compromised service can neither issue tokens nor act as another. A token has
an id, by which it can be revoked, and expires.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from common.auth.policies import check_policy
from common.auth.revocations import Revocations
from common.clock import Clock, SystemClock
from common.errors import InvalidInput, Unauthenticated, invalid

__all__ = ["MAX_POLICY_BYTES", "ROLES", "Identity", "TokenIssuer", "TokenVerifier", "generate_key_pair", "is_account"]

#: Roles that a token can carry. `client` is an application, `operator` a person, the others are our processes.
ROLES: Final = ("client", "operator", "gateway", "trainer", "runtime", "events")
_ISSUER = "tailorbird"
_ALGORITHM = "EdDSA"
_CACHE_SIZE = 4096
#: A token travels in the metadata of every call, of which gRPC accepts 8 KiB.
MAX_POLICY_BYTES: Final = 4096
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a token.

    Attributes:
        role: One of `ROLES`.
        subject: Name of the holder, e.g. an access key id or a process name.
        expires_at: Seconds since 1970-01-01 UTC.
        token_id: The id by which the token can be revoked.
        issued_at: Seconds since 1970-01-01 UTC.
        account: The account that the holder acts in, 12 digits; None is the installation's own.
        user: Name of the access key that the token was made for; empty for none.
        policies: What the holder may do, as documents of IAM's JSON; none permits everything that the role may.
    """

    role: str
    subject: str
    expires_at: float
    token_id: str
    issued_at: float
    account: str | None = None
    user: str = ""
    policies: tuple[str, ...] = ()


def is_account(text: str) -> bool:
    """Return whether a text is the number of an account."""
    return _ACCOUNT.fullmatch(text) is not None


def generate_key_pair(private_path: Path, public_path: Path) -> None:
    """Make a new Ed25519 key pair; the private file is readable by its owner only.

    Raises:
        FileExistsError: A private key is already there; it is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    public_path.write_bytes(public)


class TokenIssuer:
    """Signs the tokens that calls between processes, and of applications, carry.

    Args:
        private_pem: The private key as PEM.
        clock: Source of the present time.

    Raises:
        InvalidInput: The PEM holds no Ed25519 private key.
    """

    def __init__(self, private_pem: bytes, *, clock: Clock | None = None) -> None:
        try:
            key = serialization.load_pem_private_key(private_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput("`private key`: got no readable PEM, want an Ed25519 private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise invalid("private key", got=type(key).__name__, want="an Ed25519 private key")
        self._key = key
        self._clock = clock or SystemClock()

    def issue(
        self,
        role: str,
        *,
        subject: str,
        lifetime: timedelta,
        account: str | None = None,
        user: str = "",
        policies: Sequence[str] = (),
    ) -> str:
        """Return a signed token.

        Args:
            role: One of `ROLES`.
            subject: Name of the holder.
            lifetime: How long it is valid.
            account: The account that the holder acts in; None is the installation's own.
            user: Name of the access key that the token is made for; empty for none.
            policies: What the holder may do, as documents that `check_policy` returned; none permits everything.

        Raises:
            InvalidInput: The role is not one of `ROLES`, the account does not have 12 digits, or the policies are too
                long for a token.
        """
        if role not in ROLES:
            raise invalid("role", got=role, want=f"one of {', '.join(ROLES)}")
        if account is not None and not is_account(account):
            raise invalid("account", got=account, want="12 digits")
        now = self._clock.now()
        claims = {
            "iss": _ISSUER,
            "sub": subject,
            "role": role,
            "jti": secrets.token_hex(8),
            # With its fraction: a token that is issued right after earlier ones were revoked is valid.
            "iat": now.timestamp(),
            "exp": (now + lifetime).timestamp(),
        }
        if account is not None:
            claims["account"] = account
        if user:
            claims["user"] = user
        if policies:
            documents = [json.loads(document) for document in policies]
            # As they are in the token, where a letter beyond ASCII is an escape of six characters or twelve.
            if (size := len(json.dumps(documents, separators=(",", ":")))) > MAX_POLICY_BYTES:
                raise invalid("policies", got=f"{size} bytes", want=f"at most {MAX_POLICY_BYTES} in a token")
            claims["policies"] = documents
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)


class TokenVerifier:
    """Verifies tokens; a token that was verified once costs a dictionary lookup until it expires.

    Args:
        public_pem: The public key as PEM.
        revocations: Tokens that are revoked before they expire; None for none.
        clock: Source of the present time.

    Raises:
        InvalidInput: The PEM holds no Ed25519 public key.
    """

    def __init__(
        self, public_pem: bytes, *, revocations: Revocations | None = None, clock: Clock | None = None
    ) -> None:
        try:
            key = serialization.load_pem_public_key(public_pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidInput("`public key`: got no readable PEM, want an Ed25519 public key") from error
        if not isinstance(key, Ed25519PublicKey):
            raise invalid("public key", got=type(key).__name__, want="an Ed25519 public key")
        self._key = key
        self._revocations = revocations
        self._clock = clock or SystemClock()
        self._seen: OrderedDict[str, Identity] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of_file(cls, public_key: Path, *, clock: Clock | None = None) -> Self:
        """Return a verifier with the key in a file, and the revocations in the same folder.

        Raises:
            OSError: The key cannot be read.
            InvalidInput: It is not a key, or the revocations cannot be parsed.
            Unavailable: The revocations cannot be read.
        """
        revocations = Revocations(public_key.with_name(Revocations.FILE_NAME), clock=clock)
        return cls(public_key.read_bytes(), revocations=revocations, clock=clock)

    def verify(self, token: str) -> Identity:
        """Return the token's holder.

        Raises:
            Unauthenticated: It is malformed, signed by another key, expired, or revoked.
        """
        now = self._clock.timestamp()
        identity = self._seen.get(token)
        if identity is None:
            identity = self._decode(token)
            with self._lock:
                self._seen[token] = identity
                if len(self._seen) > _CACHE_SIZE:
                    self._seen.popitem(last=False)
        if identity.expires_at <= now:
            raise Unauthenticated(
                "`authorization`: got an expired token, want a valid one; make a new one with `tailorbird keys token`"
            )
        if self._is_revoked(identity):
            raise Unauthenticated("`authorization`: got a token that was revoked, want a valid one")
        return identity

    def _is_revoked(self, identity: Identity) -> bool:
        if self._revocations is None:
            return False
        revoked = self._revocations.current()
        return identity.token_id in revoked.tokens or identity.issued_at <= revoked.subjects.get(identity.subject, 0.0)

    def _decode(self, token: str) -> Identity:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                # Expiry is compared with our own clock on every call, cached or not.
                options={"require": ["exp", "sub", "role", "jti", "iat"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(
                f"`authorization`: got a token that does not verify ({error}), want one issued for this installation"
            ) from error
        if claims["role"] not in ROLES:
            raise Unauthenticated(f"`authorization`: got role {claims['role']!r}, want one of {', '.join(ROLES)}")
        account = claims.get("account")
        if account is not None and not (isinstance(account, str) and is_account(account)):
            raise Unauthenticated("`authorization`: got a token with a malformed account, want one of 12 digits")
        try:
            policies = tuple(check_policy(json.dumps(document)) for document in claims.get("policies", ()))
        except (InvalidInput, TypeError):
            raise Unauthenticated("`authorization`: got a token with malformed policies, want a new one") from None
        return Identity(
            role=claims["role"],
            subject=claims["sub"],
            expires_at=float(claims["exp"]),
            token_id=claims["jti"],
            issued_at=float(claims["iat"]),
            account=account,
            user=str(claims.get("user", "")),
            policies=policies,
        )
