"""What happens around every call: identity, request id, log line."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import grpc

from common.auth import ANY_ROLE, OPEN, Identity, TokenVerifier, admitted_roles
from common.errors import PermissionDenied, TailorbirdError, Unauthenticated
from common.logs import get_logger, request_id
from common.rpc.status import to_status

__all__ = ["REQUEST_ID_KEY", "CallGate", "Scope", "caller"]

REQUEST_ID_KEY = "x-request-id"
_MAX_REQUEST_ID = 128

#: Who makes the call being served in this thread or task; None for open methods.
caller: ContextVar[Identity | None] = ContextVar("caller", default=None)

_log = get_logger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Scope:
    """One call on its way."""

    method: str
    request_id: str
    started: float


class CallGate:
    """Lets calls in and sees them out.

    Args:
        verifier: Checks bearer tokens.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier
        self._debug = logging.getLogger(__name__)

    def open(self, method: str, metadata: Metadata) -> Scope:
        """Begin a call: take over or make a request id, bind it to the logs."""
        found = ""
        for key, value in metadata:
            if key == REQUEST_ID_KEY and isinstance(value, str):
                found = value[:_MAX_REQUEST_ID]
        found = found or uuid.uuid4().hex
        request_id.set(found)
        return Scope(method, found, time.perf_counter())

    def admit(self, method: str, metadata: Metadata) -> None:
        """Check that the caller may call the method.

        Raises:
            Unauthenticated: No valid token.
            PermissionDenied: The token's role is not admitted.
        """
        roles = admitted_roles(method)
        if roles is OPEN:
            caller.set(None)
            return
        token = ""
        for key, value in metadata:
            if key == "authorization" and isinstance(value, str):
                token = value
        if not token.startswith("Bearer "):
            raise Unauthenticated("`authorization`: got no bearer token, want metadata `authorization: Bearer TOKEN`")
        identity = self._verifier.verify(token[7:])
        if roles is not ANY_ROLE and identity.role not in roles:
            wanted = ", ".join(sorted(roles)) or "nobody"
            raise PermissionDenied(f"`{method}`: got a caller of role {identity.role}, want {wanted}")
        caller.set(identity)

    def succeeded(self, scope: Scope) -> None:
        """Note a call that went well (at DEBUG: there are thousands each second)."""
        if self._debug.isEnabledFor(logging.DEBUG):
            _log.debug("rpc", method=scope.method, code="OK", millis=_millis(scope))

    def refused(self, scope: Scope, code: grpc.StatusCode) -> None:
        """Note a call that its own method answered with another status than OK."""
        _log.info("rpc", method=scope.method, code=code.name, millis=_millis(scope))

    def failed(self, scope: Scope, error: Exception) -> grpc.Status:
        """Note a call that failed and return the status to send.

        A client's mistake is an INFO line; a fault of ours is an ERROR with its trace.
        """
        status = to_status(error)
        code = status.code.name
        if isinstance(error, TailorbirdError) and error.code not in ("INTERNAL", "DATA_LOSS"):
            _log.info(
                "rpc",
                method=scope.method,
                code=code,
                reason=error.reason,
                message=error.message,
                millis=_millis(scope),
            )
        else:
            _log.error("rpc", method=scope.method, code=code, millis=_millis(scope), exc_info=error)
        return status


def _millis(scope: Scope) -> float:
    return round((time.perf_counter() - scope.started) * 1000, 3)
