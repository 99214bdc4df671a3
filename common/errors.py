"""The tree of errors that every process raises, and nothing else may cross a service boundary.

    TailorbirdError
    ├── InvalidInput               INVALID_ARGUMENT     InvalidInputException
    │   ├── InvalidNextToken       INVALID_ARGUMENT     InvalidNextTokenException
    │   ├── TooManyTags            INVALID_ARGUMENT     TooManyTagsException
    │   └── TooManyTagKeys         INVALID_ARGUMENT     TooManyTagKeysException
    ├── ResourceNotFound           NOT_FOUND            ResourceNotFoundException
    ├── ResourceAlreadyExists      ALREADY_EXISTS       ResourceAlreadyExistsException
    ├── ResourceInUse              FAILED_PRECONDITION  ResourceInUseException
    ├── LimitExceeded              RESOURCE_EXHAUSTED   LimitExceededException
    ├── Throttled                  RESOURCE_EXHAUSTED   ThrottlingException
    ├── LeaseLost                  ABORTED              LeaseLost
    ├── OffsetOutOfRange           OUT_OF_RANGE         OffsetOutOfRange
    ├── Unauthenticated            UNAUTHENTICATED      MissingAuthenticationTokenException
    ├── PermissionDenied           PERMISSION_DENIED    AccessDeniedException
    ├── OperationUnavailable       UNIMPLEMENTED        NotImplementedException
    ├── Unavailable                UNAVAILABLE          ServiceUnavailableException
    │   ├── DeadlineExceeded       DEADLINE_EXCEEDED    RequestTimeoutException
    │   └── StorageFull            RESOURCE_EXHAUSTED   InsufficientStorageException
    └── CorruptArtifact            DATA_LOSS            CorruptArtifact

An error carries the canonical status by name (this module knows no gRPC), a stable reason for machines
(Personalize's exception name where Personalize has one), the fields at fault, and a message for a person in
the form "`field`: got X, want Y". `common.rpc` maps the tree to gRPC statuses, in one place for all services.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "CorruptArtifact",
    "DeadlineExceeded",
    "FieldViolation",
    "InvalidInput",
    "InvalidNextToken",
    "LeaseLost",
    "LimitExceeded",
    "OffsetOutOfRange",
    "OperationUnavailable",
    "PermissionDenied",
    "ResourceAlreadyExists",
    "ResourceInUse",
    "ResourceNotFound",
    "StorageFull",
    "TailorbirdError",
    "Throttled",
    "TooManyTagKeys",
    "TooManyTags",
    "Unauthenticated",
    "Unavailable",
    "invalid",
    "reason_of",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field at fault: its name as the caller wrote it, and what is wrong with it."""

    field: str
    description: str


class TailorbirdError(Exception):
    """Root of all errors that a caller may see.

    Args:
        message: For a person: what came, what was wanted, what to do.
        violations: The fields at fault, when the caller's input was.
        metadata: Further facts for machines, e.g. the ARN concerned. Never a secret.
    """

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        violations: Iterable[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})


class InvalidInput(TailorbirdError):
    """The request can never succeed as it is."""

    code = "INVALID_ARGUMENT"
    reason = "InvalidInputException"


class InvalidNextToken(InvalidInput):
    """A page token that this service did not make, or made for another request."""

    reason = "InvalidNextTokenException"


class TooManyTags(InvalidInput):
    """More tags on one resource than allowed."""

    reason = "TooManyTagsException"


class TooManyTagKeys(InvalidInput):
    """More tag keys in one request than allowed."""

    reason = "TooManyTagKeysException"


class ResourceNotFound(TailorbirdError):
    """The named resource does not exist."""

    code = "NOT_FOUND"
    reason = "ResourceNotFoundException"


class ResourceAlreadyExists(TailorbirdError):
    """The name is taken."""

    code = "ALREADY_EXISTS"
    reason = "ResourceAlreadyExistsException"


class ResourceInUse(TailorbirdError):
    """The resource is in a state, or has dependants, that forbid the operation for now."""

    code = "FAILED_PRECONDITION"
    reason = "ResourceInUseException"


class LimitExceeded(TailorbirdError):
    """A quota is used up."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LimitExceededException"


class Throttled(TailorbirdError):
    """More calls at a time than the service takes; trying again a little later helps."""

    code = "RESOURCE_EXHAUSTED"
    reason = "ThrottlingException"


class LeaseLost(TailorbirdError):
    """The job is no longer this worker's: it must stop and publish nothing."""

    code = "ABORTED"
    reason = "LeaseLost"


class OffsetOutOfRange(TailorbirdError):
    """The log no longer keeps the wanted offset."""

    code = "OUT_OF_RANGE"
    reason = "OffsetOutOfRange"


class Unauthenticated(TailorbirdError):
    """No credential, or one that does not hold."""

    code = "UNAUTHENTICATED"
    reason = "MissingAuthenticationTokenException"


class PermissionDenied(TailorbirdError):
    """The credential holds, but its role may not do this."""

    code = "PERMISSION_DENIED"
    reason = "AccessDeniedException"


class OperationUnavailable(TailorbirdError):
    """The operation is part of the API and not built yet."""

    code = "UNIMPLEMENTED"
    reason = "NotImplementedException"


class Unavailable(TailorbirdError):
    """Something this service needs cannot be reached now; trying again may help."""

    code = "UNAVAILABLE"
    reason = "ServiceUnavailableException"


class DeadlineExceeded(Unavailable):
    """The call was not over within its time, be it the caller's or the service's fault."""

    code = "DEADLINE_EXCEEDED"
    reason = "RequestTimeoutException"


class StorageFull(Unavailable):
    """A disk of the service is full: what was sent is not kept; trying again helps once there is space."""

    code = "RESOURCE_EXHAUSTED"
    reason = "InsufficientStorageException"


class CorruptArtifact(TailorbirdError):
    """Stored data does not match its manifest."""

    code = "DATA_LOSS"
    reason = "CorruptArtifact"


def reason_of(error: Exception) -> str:
    """Return the reason that callers see of an error: that of an internal error for those outside of the tree."""
    return error.reason if isinstance(error, TailorbirdError) else TailorbirdError.reason


def invalid(field: str, *, got: object, want: str) -> InvalidInput:
    """Build the error for one bad field, in the house form.

    Args:
        field: Name of the field as the caller writes it, e.g. `numResults`.
        got: What came; long values are shortened.
        want: What would have been right, e.g. `an integer from 1 to 500`.
    """
    try:
        shown = repr(got)
    except RecursionError:  # JSON may be nested deeper than Python calls itself
        shown = f"a {type(got).__name__} that is nested too deep to be shown"
    if len(shown) > 120:
        shown = shown[:117] + "..."
    # A name may have been made of what the caller wrote, too.
    field = field[:200].encode("utf-8", "backslashreplace").decode()
    description = f"got {shown}, want {want}"
    return InvalidInput(f"`{field}`: {description}", violations=[FieldViolation(field, description)])
