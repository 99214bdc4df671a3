"""Who makes the call that is being served: known to every service once the call policy has verified the token.

The gateway calls with a token of its own, and says in metadata for whom. From any other role that metadata is refused,
so that nobody can name an account that the token does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Final, NamedTuple

from common.auth.tokens import Identity, is_account
from common.errors import InvalidInput, PermissionDenied, TailorbirdError
from common.event_offsets import WAIT_KEY

__all__ = ["FORWARDED_PREFIX", "Caller", "caller_of", "current_caller", "forwarded", "set_caller"]

Metadata = Sequence[tuple[str, str | bytes]]

_GATEWAY: Final = "gateway"
_ACCOUNT_KEY: Final = "x-tailorbird-account"
_SUBJECT_KEY: Final = "x-tailorbird-caller"
#: Of the keys of that metadata.
FORWARDED_PREFIX: Final = "x-tailorbird-"
_SUBJECT: Final = re.compile(r"[A-Za-z0-9]{1,128}")


class Caller(NamedTuple):
    """Who makes a call.

    Attributes:
        role: Role of the token; `gateway` for calls that the gateway passes on.
        subject: Name of the token's holder; of a call that the gateway passes on, the caller's access key id.
        account: 12 digits. Services always know it; the gateway names none for keys of the installation's own account.
    """

    role: str
    subject: str
    account: str | None = None


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    """Return who makes the call that this task or thread serves.

    Raises:
        TailorbirdError: No call is being served, or one that needs no token.
    """
    caller = _caller.get()
    if caller is None:
        raise TailorbirdError("caller: got none, want a call whose token was verified")
    return caller


def set_caller(caller: Caller | None) -> None:
    """Set who makes the call that this task serves, for it and the threads that it starts by `asyncio.to_thread`."""
    _caller.set(caller)


def forwarded(caller: Caller) -> tuple[tuple[str, str], ...]:
    """Return the metadata with which the gateway passes a caller on."""
    subject = (_SUBJECT_KEY, caller.subject)
    return (subject,) if caller.account is None else (subject, (_ACCOUNT_KEY, caller.account))


def caller_of(identity: Identity, metadata: Metadata, *, own_account: str) -> Caller:
    """Return who makes a call.

    Args:
        identity: Of the call's verified token.
        metadata: Of the call, or that part of it that only the gateway may send.
        own_account: The installation's, of callers who name none.

    Raises:
        PermissionDenied: The metadata names a caller, and the token is not the gateway's.
        InvalidInput: The gateway's metadata is malformed.
    """
    named = {key: value for key, value in metadata if key.startswith(FORWARDED_PREFIX) and key != WAIT_KEY}
    if not named:
        return Caller(identity.role, identity.subject, identity.account or own_account)
    if identity.role != _GATEWAY:
        raise PermissionDenied(
            f"`{min(named)}`: got it from a caller of role {identity.role}, want it from the gateway alone"
        )
    subject = _checked(named, _SUBJECT_KEY, _is_subject, want="an access key id") or identity.subject
    account = _checked(named, _ACCOUNT_KEY, is_account, want="12 digits") or identity.account
    return Caller(identity.role, subject, account or own_account)


def _is_subject(text: str) -> bool:
    return _SUBJECT.fullmatch(text) is not None


def _checked(named: dict[str, str | bytes], key: str, is_valid: Callable[[str], bool], *, want: str) -> str | None:
    value = named.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not is_valid(value):
        raise InvalidInput(f"`{key}`: got a value that is malformed, want {want}")
    return value
