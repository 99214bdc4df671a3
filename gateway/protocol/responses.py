"""Turns gRPC responses into JSON: one encoder per operation, compiled once from the service model and the contract.

AWS leaves absent members out, but always writes the lists of a response's top level, empty ones too; clients rely on
both. Times are seconds since 1970 with milliseconds, and integers are numbers, not text as in protobuf's own JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias

import orjson
from botocore.model import Shape, StructureShape
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from common.errors import TailorbirdError
from gateway.protocol.contract import (
    field_of,
    has_empty_members,
    list_inside,
    map_value,
    message_inside,
    names_by_number,
)

__all__ = ["response_encoder"]

Encoder: TypeAlias = Callable[[Any], Any]


def response_encoder(shape: StructureShape | None, descriptor: Descriptor) -> Callable[[Any], bytes]:
    """Return the encoder of an operation's gRPC response, whose result is empty for operations without output.

    Args:
        shape: The operation's output; None when it has none.
        descriptor: The gRPC response.
    """
    if shape is None or not shape.members:
        return lambda _: b""
    encode = _structure(shape, descriptor, keep_empty=True)

    def encode_body(message: Any) -> bytes:
        return orjson.dumps(encode(message))

    return encode_body


def _structure(shape: StructureShape, descriptor: Descriptor, *, keep_empty: bool = False) -> Encoder:
    members: dict[int, tuple[str, Encoder | None]] = {}
    collections: list[tuple[str, list[Any] | dict[str, Any]]] = []
    for name, member in shape.members.items():
        field = field_of(descriptor, name)
        if field is None:
            continue  # newer in the installed botocore than in the contract: nobody fills it in
        encoder = _member(member, field)
        if field.is_repeated:
            empty: list[Any] | dict[str, Any] = [] if member.type_name == "list" else {}
            collections.append((name, empty))
            encoder = encoder or type(empty)
        members[field.number] = (name, encoder)
    has_empty = has_empty_members(descriptor)

    def encode(message: Any) -> dict[str, Any]:
        out = {}
        for field, value in message.ListFields():  # those that are set, which are few of those that exist
            if (member := members.get(field.number)) is None:
                continue
            name, convert = member
            if convert is None:
                out[name] = value
            elif (converted := convert(value)) is not None:
                out[name] = converted
        if keep_empty or has_empty:
            for name, empty in collections:
                if name not in out and (keep_empty or name in message.empty_members):
                    out[name] = empty
        return out

    return encode


def _member(shape: Shape, field: FieldDescriptor) -> Encoder | None:
    """Return the encoder of a member, None when the value can be written as it is."""
    if shape.type_name == "map":
        value = _member(shape.value, map_value(field)[1])
        if value is None:
            return None
        return lambda items: {key: value(item) for key, item in items.items()}
    if shape.type_name == "list":
        if field.is_repeated:
            return _list(_single(shape.member, field))
        inner = list_inside(field)
        encode = _list(_single(shape.member, inner)) or list
        return lambda message: encode(getattr(message, inner.name))
    return _single(shape, field)


def _list(element: Encoder | None) -> Encoder | None:
    if element is None:
        return None
    return lambda items: [element(item) for item in items]


def _single(shape: Shape, field: FieldDescriptor) -> Encoder | None:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, message_inside(field))
    if kind == "timestamp":
        return _seconds
    if kind == "string" and field.enum_type is not None:
        return _enum_name(field.full_name, names_by_number(field.enum_type))
    if kind in ("double", "float"):
        return _finite
    if kind in ("string", "boolean", "integer", "long"):
        return None
    raise TailorbirdError(f"`{field.full_name}`: got a member of type {kind}, which no encoder is written for")


def _enum_name(field: str, names: Mapping[int, str]) -> Encoder:
    def encode(number: int) -> str | None:
        if number == 0:
            return None  # every enum's zero means that it is not set
        name = names.get(number)
        if name is None:
            raise TailorbirdError(f"`{field}`: got the value {number}, which this gateway does not know")
        return name

    return encode


def _finite(number: float) -> float:
    if not isfinite(number):
        raise TailorbirdError(f"response: got the number {number}, want one that JSON can hold")
    return number


def _seconds(timestamp: Any) -> float:
    # Whole milliseconds, as AWS has them.
    return float(round(timestamp.seconds + timestamp.nanos / 1e9, 3))
