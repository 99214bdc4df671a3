"""How errors look on the wire: name, HTTP status and body, in the way of each of the two protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.errors import TailorbirdError
from gateway.errors import RequestTooLarge

__all__ = ["AWS_JSON", "REST_JSON", "Fault", "fault"]

AWS_JSON: Final = "json"
REST_JSON: Final = "rest-json"

#: What a caller may know of our own faults: nothing. The log has the rest, under the request's id.
_INTERNAL_REASON = "InternalServerError"
_INTERNAL_MESSAGE = "The request failed for a reason inside of the service; its log has details under this request id."

_MAX_MESSAGE_BYTES = 4000

_BY_CODE = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 403,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    # Not 500 or 503: SDKs would try again, and an operation does not get built in between.
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 503,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on the wire."""

    status: int
    reason: str
    body: bytes
    headers: Mapping[str, str]


def fault(error: Exception, *, protocol: str, modelled: Mapping[str, int]) -> Fault:
    """Return how an error is answered.

    Args:
        error: What was raised; whatever is not of our tree is answered without details.
        protocol: `AWS_JSON` or `REST_JSON`.
        modelled: HTTP statuses of the errors in the service's model, by name.
    """
    if not isinstance(error, TailorbirdError) or (error.code not in _BY_CODE):
        reason, message, status = _INTERNAL_REASON, _INTERNAL_MESSAGE, 500
    else:
        reason, message, status = error.reason, error.message, _status(error, protocol, modelled)
    if protocol == AWS_JSON:
        document = {"__type": reason, "message": _shorten(message)}
        headers = {"content-type": "application/x-amz-json-1.1"}
    else:
        document = {"message": _shorten(message)}
        headers = {"content-type": "application/json"}
    # SDKs look for this header first in both protocols.
    headers["x-amzn-errortype"] = reason
    return Fault(status, reason, json.dumps(document, ensure_ascii=False).encode(), headers)


def _shorten(message: str) -> str:
    """Return what can be encoded of a message, at most 4 kB: it may quote what a caller sent, whatever that was."""
    encoded = message.encode("utf-8", "backslashreplace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    return f"{encoded[:_MAX_MESSAGE_BYTES].decode('utf-8', 'ignore')}..."


def _status(error: TailorbirdError, protocol: str, modelled: Mapping[str, int]) -> int:
    if isinstance(error, RequestTooLarge):
        return 413
    if error.reason in modelled:
        return modelled[error.reason]
    status = _BY_CODE[error.code]
    # In awsJson every mistake of a caller is 400, and so are missing and wrong signatures.
    return 400 if protocol == AWS_JSON and status < 500 else status
