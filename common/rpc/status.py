"""The one mapping between the error tree and gRPC statuses, in both directions.

A status carries `google.rpc.ErrorInfo` (reason, domain, metadata) and `google.rpc.BadRequest` as its details.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from common import errors

__all__ = ["DOMAIN", "from_rpc_error", "to_status"]

DOMAIN = "tailorbird"
#: Of a message, and of all violations together. gRPC's clients take 8 KiB of trailers and answer RESOURCE_EXHAUSTED in
#: place of an error with more; a message travels twice, and each byte of it that is not ASCII as three.
_MAX_TEXT_BYTES: Final = 1200


def _leaves(root: type[errors.TailorbirdError]) -> Iterator[type[errors.TailorbirdError]]:
    yield root
    for child in root.__subclasses__():
        yield from _leaves(child)


_BY_REASON = {kind.reason: kind for kind in _leaves(errors.TailorbirdError)}
_BY_CODE: dict[str, type[errors.TailorbirdError]] = {
    "INVALID_ARGUMENT": errors.InvalidInput,
    "NOT_FOUND": errors.ResourceNotFound,
    "ALREADY_EXISTS": errors.ResourceAlreadyExists,
    "UNAUTHENTICATED": errors.Unauthenticated,
    "PERMISSION_DENIED": errors.PermissionDenied,
    "UNIMPLEMENTED": errors.OperationUnavailable,
    "RESOURCE_EXHAUSTED": errors.LimitExceeded,
    "UNAVAILABLE": errors.Unavailable,
    "DEADLINE_EXCEEDED": errors.Unavailable,
    # Of a call that its caller awaits: it was the peer who let go of it, as one that stops.
    "CANCELLED": errors.Unavailable,
}


def to_status(error: BaseException) -> grpc.Status:
    """Return the status for an error; whatever is not of our tree is INTERNAL and shows nothing of itself."""
    known = error if isinstance(error, errors.TailorbirdError) else errors.TailorbirdError("internal error")
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN, metadata=known.metadata))
    details = [info]
    if violations := _fitting(known.violations):
        bad = any_pb2.Any()
        bad.Pack(error_details_pb2.BadRequest(field_violations=violations))
        details.append(bad)
    message = _shorten(known.message)
    return rpc_status.to_status(
        status_pb2.Status(code=code_pb2.Code.Value(known.code), message=message, details=details)
    )


def _fitting(violations: Sequence[errors.FieldViolation]) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Return as many as have room."""
    fitting, left = [], _MAX_TEXT_BYTES
    for item in violations:
        field, description = _shorten(item.field), _shorten(item.description)
        left -= len(field.encode()) + len(description.encode())
        if left < 0:
            break
        fitting.append(error_details_pb2.BadRequest.FieldViolation(field=field, description=description))
    return fitting


def _shorten(text: str) -> str:
    """Return what can be sent of a text, which may quote what a caller sent, whatever that was."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return f"{encoded[: _MAX_TEXT_BYTES - 3].decode('utf-8', 'ignore')}..."


def from_rpc_error(error: grpc.RpcError) -> errors.TailorbirdError:
    """Return the error of our tree that a failed call stands for."""
    # Sync calls raise an error that is also the call; aio raises one that merely looks like it.
    call: Any = error
    if not hasattr(call, "trailing_metadata"):
        return errors.Unavailable(str(error))
    code: grpc.StatusCode = call.code()
    message = call.details() or code.name
    reason = ""
    metadata: dict[str, str] = {}
    violations: list[errors.FieldViolation] = []
    status = rpc_status.from_call(call)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = [errors.FieldViolation(item.field, item.description) for item in bad.field_violations]
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code.name, errors.TailorbirdError)
    return kind(message, violations=violations, metadata=metadata)
