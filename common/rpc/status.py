"""Maps the error tree to gRPC statuses, and back.

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
#: Size of a message, and of all violations together. gRPC's clients accept 8 KiB of trailers, and report
#: RESOURCE_EXHAUSTED for more; a message is sent twice, and each byte of it that is not ASCII as three.
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
    # Seen by a caller that still waits, so the server cancelled the call, as one that stops does.
    "CANCELLED": errors.Unavailable,
}


def to_status(error: BaseException) -> grpc.Status:
    """Return the status for an error; an error outside of our tree is INTERNAL, without its text."""
    translated = error if isinstance(error, errors.TailorbirdError) else errors.TailorbirdError("internal error")
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=translated.reason, domain=DOMAIN, metadata=translated.metadata))
    details = [info]
    if violations := _fitting(translated.violations):
        bad = any_pb2.Any()
        bad.Pack(error_details_pb2.BadRequest(field_violations=violations))
        details.append(bad)
    message = _shorten(translated.message)
    return rpc_status.to_status(
        status_pb2.Status(code=code_pb2.Code.Value(translated.code), message=message, details=details)
    )


def _fitting(violations: Sequence[errors.FieldViolation]) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Return the first violations that fit into a status."""
    fitting, left = [], _MAX_TEXT_BYTES
    for item in violations:
        field, description = _shorten(item.field), _shorten(item.description)
        left -= len(field.encode()) + len(description.encode())
        if left < 0:
            break
        fitting.append(error_details_pb2.BadRequest.FieldViolation(field=field, description=description))
    return fitting


def _shorten(text: str) -> str:
    """Return a text that can be encoded and is not too long; it may quote anything that a caller sent."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return f"{encoded[: _MAX_TEXT_BYTES - 3].decode('utf-8', 'ignore')}..."


def from_rpc_error(error: grpc.RpcError) -> errors.TailorbirdError:
    """Return the error of our tree for a failed call."""
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
