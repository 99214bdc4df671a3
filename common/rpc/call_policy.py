"""The policy of every call: authentication, authorisation, request id, log line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import Message

from common.arn import DEFAULT_ACCOUNT, DEFAULT_REGION, ArnFactory
from common.audit import AuditedCall, is_audited
from common.auth import (
    ANY_ROLE,
    FORWARDED_PREFIX,
    OPEN,
    Account,
    Identity,
    TokenVerifier,
    admitted_roles,
    caller_of,
    check_permission,
    resources_of,
    set_caller,
)
from common.errors import PermissionDenied, TailorbirdError, Unauthenticated, Unavailable
from common.logs import get_logger, request_id
from common.random_blocks import random_block
from common.rpc.status import to_status

__all__ = ["REQUEST_ID_KEY", "CallPolicy", "LineBudget", "Metadata", "Scope"]

REQUEST_ID_KEY = "x-request-id"
_MAX_REQUEST_ID = 128
_AUTHORIZATION: Final = "authorization"
_BEARER: Final = "Bearer "
#: Roles whose calls are audited here: the gateway audits its own callers.
_OUTSIDERS = ("client", "operator")
_MAX_FIELDS = 10
_MAX_FIELD = 128
#: Members that are maps, whose keys callers choose.
_MAPS = ("context",)

_log = get_logger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(slots=True)  # not frozen, which costs more than all that is written into it
class Scope:
    """One call in progress.

    Attributes:
        method: Full name as on the wire.
        request_id: The caller's, or a new one.
        token: The bearer token; empty for none.
        forwarded: The metadata that only the gateway may send.
        started: When it began, on `time.perf_counter`.
    """

    method: str
    request_id: str
    token: str
    forwarded: Metadata
    started: float


class CallPolicy:
    """Authenticates calls and logs their end.

    Args:
        verifier: Verifies bearer tokens.
        account: The installation's own account, of callers who name none.
        region: Region in ARNs.
        audit_puts: Whether calls that put events, items, users and actions are audited.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        account: str = DEFAULT_ACCOUNT,
        region: str = DEFAULT_REGION,
        audit_puts: bool = True,
    ) -> None:
        self._audit_puts = audit_puts
        self._verifier = verifier
        self._own_account = account
        self._arns = ArnFactory(region)
        self._debug = logging.getLogger(__name__)
        self._lines = LineBudget()

    def open(self, method: str, metadata: Metadata) -> Scope:
        """Begin a call: use the caller's request id or create one, and bind it to the logs.

        All that is read of the metadata is read here, in one pass.
        """
        identifier = authorization = ""
        forwarded: list[tuple[str, str | bytes]] = []
        for key, value in metadata:
            if key == _AUTHORIZATION:
                authorization = value if isinstance(value, str) else ""
            elif key == REQUEST_ID_KEY:
                identifier = value[:_MAX_REQUEST_ID] if isinstance(value, str) else ""
            elif key.startswith(FORWARDED_PREFIX):
                forwarded.append((key, value))
        identifier = identifier or random_block().hex()
        request_id.set(identifier)
        token = authorization[len(_BEARER) :] if authorization.startswith(_BEARER) else ""
        return Scope(method, identifier, token, forwarded, time.perf_counter())

    def admit(self, scope: Scope) -> Identity | None:
        """Check that the caller may call the method, and let `current_caller` tell who it is.

        Returns:
            The holder of the token; None for methods that need no token.

        Raises:
            Unauthenticated: No valid token.
            PermissionDenied: The token's role is not admitted, or names another caller without being the gateway's.
        """
        method = scope.method
        roles = admitted_roles(method)
        if roles is OPEN:
            set_caller(None)
            return None
        if not scope.token:
            raise Unauthenticated("`authorization`: got no bearer token, want metadata `authorization: Bearer TOKEN`")
        identity = self._verifier.verify(scope.token)
        if roles is not ANY_ROLE and identity.role not in roles:
            admitted = ", ".join(sorted(roles)) or "nobody"
            raise PermissionDenied(f"`{method}`: got a caller of role {identity.role}, want {admitted}")
        set_caller(caller_of(identity, scope.forwarded, own_account=self._own_account))
        return identity

    def audits(self, method: str) -> bool:
        """Return whether any calls of a method belong into the audit log."""
        return is_audited(method.rpartition("/")[2], puts=self._audit_puts)

    def audited(self, identity: Identity | None, method: str, request: Message, *, peer: str) -> AuditedCall | None:
        """Return a call of a method that is audited for the log; None when it does not belong there.

        Args:
            identity: The caller.
            method: Full name as on the wire.
            request: The call's message.
            peer: Address that the connection comes from.
        """
        if identity is None or identity.role not in _OUTSIDERS:
            return None
        operation, account = method.rpartition("/")[2], self._account(identity)
        resource = resources_of(operation, request, account)[0]
        return AuditedCall(operation, account.account, identity.subject, identity.role, peer, resource)

    def authorize(self, identity: Identity | None, method: str, request: Message) -> None:
        """Check that the policies of the caller's key permit the call.

        Raises:
            PermissionDenied: They do not.
        """
        if identity is not None and identity.policies and admitted_roles(method) is not ANY_ROLE:
            check_permission(
                identity.policies,
                user=identity.user,
                operation=method.rpartition("/")[2],
                request=request,
                account=self._account(identity),
            )

    def _account(self, identity: Identity) -> Account:
        return Account(identity.account or self._own_account, self._arns)

    def succeeded(self, scope: Scope) -> None:
        """Log a call that succeeded (at DEBUG: there are thousands each second)."""
        if self._debug.isEnabledFor(logging.DEBUG):
            _log.debug("rpc", method=scope.method, code="OK", millis=_millis(scope))

    def aborted(self, scope: Scope, code: grpc.StatusCode) -> None:
        """Log a call that its own method has aborted."""
        if (left_out := self._lines.take((scope.method, code.name))) is not None:
            _log.info("rpc", method=scope.method, code=code.name, millis=_millis(scope), **left_out)

    def failed(self, scope: Scope, error: Exception) -> grpc.Status:
        """Log a call that failed and return the status to send.

        A client's mistake is an INFO line, at most a few of a kind each second; an internal error is an ERROR with its
        traceback. The message about a client's mistake quotes what the client sent, and is logged at DEBUG only.
        """
        status = to_status(error)
        facts = {"method": scope.method, "code": status.code.name, "millis": _millis(scope)}
        if not isinstance(error, TailorbirdError) or error.code in ("INTERNAL", "DATA_LOSS"):
            _log.error("rpc", **facts, exc_info=error)
            return status
        facts["reason"] = error.reason
        if isinstance(error, Unavailable):
            facts["message"] = error.message  # about this service and its backends, not about the caller
        elif error.violations:
            facts["fields"] = [_place(item.field) for item in error.violations[:_MAX_FIELDS]]
        if (left_out := self._lines.take((scope.method, error.reason))) is not None:
            _log.info("rpc", **facts, **left_out)
        if self._debug.isEnabledFor(logging.DEBUG):
            _log.debug("rpc_refused", method=scope.method, message=error.message)
        return status


class LineBudget:
    """Bounds how many lines of a kind are logged each second: invalid requests must not fill the disk.

    Args:
        per_second: Lines of one kind.
        clock: Returns seconds.
    """

    def __init__(self, per_second: int = 10, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._taken: dict[Hashable, tuple[int, int]] = {}

    def take(self, kind: Hashable) -> dict[str, int] | None:
        """Return None if the line is to be left out, else the fields to add: how many were left out before it."""
        second = int(self._clock())
        begun, number = self._taken.get(kind, (second, 0))
        left_out = 0 if begun == second else max(number - self._per_second, 0)
        number = number + 1 if begun == second else 1
        self._taken[kind] = (second, number)
        if number > self._per_second:
            return None
        return {"left_out": left_out} if left_out else {}


def _place(field: str) -> str:
    """Return the name of a field without keys that the caller has chosen."""
    for name in _MAPS:
        if field.startswith(f"{name}."):
            return name
    return field[:_MAX_FIELD]


def _millis(scope: Scope) -> float:
    return round((time.perf_counter() - scope.started) * 1000, 3)
