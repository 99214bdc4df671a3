"""Errors on the wire: name, HTTP status and body, in each of the two protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from common.errors import StorageFull, TailorbirdError, Throttled
from gateway.errors import HeadTooLarge, RequestTimeout, RequestTooLarge

__all__ = ["AWS_JSON", "CONTENT_TYPES", "REST_JSON", "Fault", "fault"]

AWS_JSON: Final = "json"
REST_JSON: Final = "rest-json"
CONTENT_TYPES: Final[Mapping[str, str]] = {AWS_JSON: "application/x-amz-json-1.1", REST_JSON: "application/json"}

#: Internal errors reach a caller without details; the log has those, under the request's id.
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
_BY_KIND: Mapping[type[Exception], int] = {
    RequestTooLarge: 413,
    HeadTooLarge: 431,
    RequestTimeout: 408,
    # Not 429: the caller does not ask for too much. SDKs do not repeat it at once, which would not help.
    StorageFull: 507,
}
#: When a throttled caller should retry.
_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on the wire."""

    status: int
    reason: str
    body: bytes
    headers: Mapping[str, str]


def fault(error: Exception, *, protocol: str, modelled: Mapping[str, int]) -> Fault:
    """Return the response to an error; cannot fail, whatever the error is.

    Args:
        error: What was raised; what is not a `TailorbirdError` becomes an internal error without details.
        protocol: `AWS_JSON` or `REST_JSON`.
        modelled: HTTP statuses of the errors in the service's model, by name.
    """
    with suppress(Exception):  # an error that cannot be rendered becomes an internal one
        if isinstance(error, TailorbirdError) and error.code in _BY_CODE:
            return _fault(error.reason, error.message, _status(error, protocol, modelled), protocol=protocol)
    return _fault(_INTERNAL_REASON, _INTERNAL_MESSAGE, 500, protocol=protocol)


def _fault(reason: str, message: str, status: int, *, protocol: str) -> Fault:
    document = {"message": _shorten(message)}
    if protocol == AWS_JSON:
        document = {"__type": reason, **document}
    # SDKs look for this header first in both protocols.
    headers = {"content-type": CONTENT_TYPES[protocol], "x-amzn-errortype": reason}
    if status == 503 or reason == Throttled.reason:
        headers["retry-after"] = str(_RETRY_SECONDS)
    return Fault(status, reason, json.dumps(document, ensure_ascii=False).encode(), headers)


def _shorten(message: str) -> str:
    """Return a message that can be encoded, of at most 4 kB: it may quote anything that a caller sent."""
    encoded = message.encode("utf-8", "backslashreplace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    return f"{encoded[:_MAX_MESSAGE_BYTES].decode('utf-8', 'ignore')}..."


def _status(error: TailorbirdError, protocol: str, modelled: Mapping[str, int]) -> int:
    if type(error) in _BY_KIND:
        return _BY_KIND[type(error)]
    if error.reason in modelled:
        return modelled[error.reason]
    status = _BY_CODE[error.code]
    # In awsJson every mistake of a caller is 400, and so are missing and wrong signatures.
    return 400 if protocol == AWS_JSON and status < 500 else status
