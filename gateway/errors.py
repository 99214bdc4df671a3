"""Errors of the gateway alone: malformed requests, and callers who cannot prove who they are.

    TailorbirdError
    ├── InvalidInput
    │   ├── Malformed               SerializationException
    │   ├── RequestTooLarge         RequestEntityTooLargeException
    │   ├── HeadTooLarge            RequestHeaderFieldsTooLargeException
    │   └── RequestTimeout          RequestTimeoutException
    ├── UnknownOperation            UnknownOperationException
    └── Unauthenticated             MissingAuthenticationTokenException
        ├── IncompleteSignature     IncompleteSignatureException
        ├── UnrecognizedClient      UnrecognizedClientException
        └── InvalidSignature        InvalidSignatureException

The reasons are the names that AWS answers with, because SDKs act on them (a client whose clock is wrong corrects it
and tries again, for instance).
"""

from __future__ import annotations

from common.errors import InvalidInput, TailorbirdError, Unauthenticated

__all__ = [
    "HeadTooLarge",
    "IncompleteSignature",
    "InvalidSignature",
    "Malformed",
    "RequestTimeout",
    "RequestTooLarge",
    "UnknownOperation",
    "UnrecognizedClient",
]


class Malformed(InvalidInput):
    """The body is no JSON, or a value in it is of another type than its member."""

    reason = "SerializationException"


class RequestTooLarge(InvalidInput):
    """The body is larger than this gateway accepts."""

    reason = "RequestEntityTooLargeException"


class HeadTooLarge(InvalidInput):
    """The request's line and headers are larger than this gateway accepts."""

    reason = "RequestHeaderFieldsTooLargeException"


class RequestTimeout(InvalidInput):
    """The request did not come whole in time; SDKs try again."""

    reason = "RequestTimeoutException"


class UnknownOperation(TailorbirdError):
    """No service of this endpoint has such an operation."""

    code = "NOT_FOUND"
    reason = "UnknownOperationException"


class IncompleteSignature(Unauthenticated):
    """The request is signed, but a part of the signature is missing or cannot be read."""

    reason = "IncompleteSignatureException"


class UnrecognizedClient(Unauthenticated):
    """The access key is unknown, revoked, or of a kind that is not supported."""

    reason = "UnrecognizedClientException"


class InvalidSignature(Unauthenticated):
    """The signature does not fit the request, or its time has passed."""

    reason = "InvalidSignatureException"
