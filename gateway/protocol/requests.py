"""Turns JSON into gRPC requests: one decoder per operation, compiled once from the service model and the contract.

A decoder walks the botocore shape and the message descriptor side by side, so that no operation is written by hand.
It returns keyword arguments for the message's constructor, which protobuf fills in natively.

JSON is parsed by orjson, which is strict where the standard library is not: it rejects unpaired surrogates, NaN and
numbers beyond a double, and takes linear time for integers of any length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from botocore.model import Shape, StructureShape
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from common.errors import TailorbirdError
from gateway.errors import Malformed
from gateway.protocol.constraints import (
    Path,
    Problems,
    constraint_check,
    note,
    note_missing,
    path_text,
    report,
    require_enum,
)
from gateway.protocol.contract import (
    field_of,
    has_empty_members,
    list_inside,
    map_value,
    message_inside,
    numbers_by_name,
)

__all__ = ["request_decoder"]

#: Turns a JSON value into an argument for a message; notes broken constraints, raises on a value of the wrong type.
Decoder: TypeAlias = Callable[[Any, Path, Problems], Any]

_LATEST = 253402300800  # 10000-01-01, the first second that a Timestamp cannot hold
_EARLIEST = -62135596800  # 0001-01-01
_MAX_FLOAT = 3.4028234663852886e38  # single precision
_MAX_DOUBLE = sys.float_info.max
#: Values in one body. The largest request that the models allow has some 2,000; the rest is room for text that looks
#: like structure. Parsing more would block the event loop for too long.
_MAX_VALUES: Final = 400_000
_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}
_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def request_decoder(shape: StructureShape | None, descriptor: Descriptor) -> Callable[[bytes], Message]:
    """Return the decoder of an operation's request body into its gRPC request.

    The result raises `Malformed` when the body is no JSON object or a value has the wrong type, and `InvalidInput` with
    the first ten broken constraints otherwise. Members that the model does not know are ignored, as AWS does.

    Args:
        shape: The operation's input; None when it takes none.
        descriptor: The gRPC request.
    """
    message_class: Any = GetMessageClass(descriptor)
    if shape is None:
        return lambda _: message_class()
    decode = _structure(shape, descriptor)

    def decode_body(body: bytes) -> Message:
        problems: Problems = []
        arguments = decode(_parse(body), None, problems)
        if problems:
            raise report(problems)
        message: Message = message_class(**arguments)
        return message

    return decode_body


def _parse(body: bytes) -> Any:
    if not body:
        return {}
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_VALUES:
        raise Malformed(f"body: got more than {_MAX_VALUES} values, want fewer")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # The error's own text may quote the body.
        raise Malformed(
            "body: got no valid JSON, want a JSON object in UTF-8 whose text is Unicode and whose numbers fit a double"
        ) from None


def _wrong(path: Path, value: Any, want: str) -> Malformed:
    got = _JSON_NAMES.get(type(value), "null")
    return Malformed(f"`{path_text(path)}`: got {got}, want {want}" if path else f"body: got {got}, want {want}")


def _structure(shape: StructureShape, descriptor: Descriptor) -> Decoder:
    members: dict[str, tuple[str, Decoder]] = {}
    for name, member in shape.members.items():
        # A member that the installed botocore has and the contract has not yet is unknown to us, hence ignored.
        if (field := field_of(descriptor, name)) is not None:
            members[name] = (field.name, _member(member, field))
    required = tuple(name for name in shape.required_members if name in members)
    collections = {name for name in members if shape.members[name].type_name in ("list", "map")}
    tracked = collections if has_empty_members(descriptor) else frozenset()

    def decode(value: Any, path: Path, problems: Problems) -> dict[str, Any]:
        if type(value) is not dict:
            raise _wrong(path, value, "an object")
        arguments = {}
        for name, item in value.items():
            if item is not None and (member := members.get(name)) is not None:
                arguments[member[0]] = member[1](item, (path, name), problems)
        for name in required:
            if value.get(name) is None:
                note_missing(problems, (path, name))
        if empty := [name for name in tracked & value.keys() if arguments.get(members[name][0]) in ([], {})]:
            arguments["empty_members"] = sorted(empty)
        return arguments

    return decode


def _member(shape: Shape, field: FieldDescriptor) -> Decoder:
    """Return the decoder of a member: of its list, of its map, or of its single value."""
    if shape.type_name == "map":
        key, value = map_value(field)
        return _map(shape, key=_single(shape.key, key), value=_member(shape.value, value))
    if shape.type_name == "list":
        if field.is_repeated:
            return _list(shape, _single(shape.member, field))
        # Protobuf has no map of lists: the value is a message that holds one.
        inner = list_inside(field)
        decode = _list(shape, _single(shape.member, inner))
        return lambda value, path, problems: {inner.name: decode(value, path, problems)}
    return _single(shape, field)


def _list(shape: Shape, element: Decoder) -> Decoder:
    check = constraint_check(shape)
    sensitive = bool(shape.metadata.get("sensitive") or shape.member.metadata.get("sensitive"))

    def decode(value: Any, path: Path, problems: Problems) -> list[Any]:
        if type(value) is not list:
            raise _wrong(path, value, "a list")
        if (constraint := check(value)) is not None:
            note(problems, path, value=value, constraint=constraint, sensitive=sensitive)
            return []  # the elements of a list of the wrong length are not checked
        items = []
        for index, item in enumerate(value):
            if item is None:
                note_missing(problems, (path, index))
            else:
                items.append(element(item, (path, index), problems))
        return items

    return decode


def _map(shape: Shape, *, key: Decoder, value: Decoder) -> Decoder:
    check = constraint_check(shape)

    def decode(mapping: Any, path: Path, problems: Problems) -> dict[Any, Any]:
        if type(mapping) is not dict:
            raise _wrong(path, mapping, "an object")
        if (constraint := check(mapping)) is not None:
            note(problems, path, value="", constraint=constraint, sensitive=True)
            return {}
        return {
            key(name, (path, "key"), problems): value(item, (path, name), problems)
            for name, item in mapping.items()
            if item is not None
        }

    return decode


def _single(shape: Shape, field: FieldDescriptor) -> Decoder:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, message_inside(field))
    if kind == "string":
        if field.enum_type is not None:
            return _enum(shape, numbers_by_name(field.enum_type))
        return _string(shape)
    if kind == "timestamp":
        return _timestamp
    if kind == "boolean":
        return _boolean
    if kind in ("integer", "long"):
        return _integer(shape, _INTEGERS[field.type])
    if kind in ("double", "float"):
        return _number(shape, _MAX_FLOAT if field.type == FieldDescriptor.TYPE_FLOAT else _MAX_DOUBLE)
    raise TailorbirdError(f"`{field.full_name}`: got a member of type {kind}, which no decoder is written for")


def _string(shape: Shape) -> Decoder:
    check = constraint_check(shape)
    sensitive = bool(shape.metadata.get("sensitive"))

    def decode(value: Any, path: Path, problems: Problems) -> str:
        if type(value) is not str:
            raise _wrong(path, value, "a string")
        if (constraint := check(value)) is not None:
            note(problems, path, value=value, constraint=constraint, sensitive=sensitive)
        return value

    return decode


def _enum(shape: Shape, numbers: Mapping[str, int]) -> Decoder:
    constraint = require_enum(tuple(numbers))

    def decode(value: Any, path: Path, problems: Problems) -> int:
        if type(value) is not str:
            raise _wrong(path, value, "a string")
        number = numbers.get(value)
        if number is None:
            note(problems, path, value=value, constraint=constraint, sensitive=bool(shape.metadata.get("sensitive")))
            return 0
        return number

    return decode


def _integer(shape: Shape, bounds: tuple[int, int]) -> Decoder:
    check = constraint_check(shape)
    low, high = bounds

    def decode(value: Any, path: Path, problems: Problems) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise _wrong(path, value, "an integer")
        if not low <= value <= high:
            raise Malformed(f"`{path_text(path)}`: got a number beyond the range of integers, want {low} to {high}")
        if (constraint := check(value)) is not None:
            note(problems, path, value=value, constraint=constraint, sensitive=False)
        return value

    return decode


def _number(shape: Shape, bound: float) -> Decoder:
    check = constraint_check(shape)

    def decode(value: Any, path: Path, problems: Problems) -> float:
        if type(value) is not float and type(value) is not int:
            raise _wrong(path, value, "a number")
        number = _to_float(value, path, bound=bound)
        if (constraint := check(number)) is not None:
            note(problems, path, value=value, constraint=constraint, sensitive=False)
        return number

    return decode


def _to_float(value: float, path: Path, *, bound: float = _MAX_DOUBLE) -> float:
    # Python compares whole numbers of any size exactly, also those that no double can hold.
    if not -bound <= value <= bound:
        raise Malformed(f"`{path_text(path)}`: got a number beyond the range of its type, want at most {bound:.3g}")
    return float(value)


def _boolean(value: Any, path: Path, _: Problems) -> bool:
    if type(value) is not bool:
        raise _wrong(path, value, "a boolean")
    return value


def _timestamp(value: Any, path: Path, _: Problems) -> dict[str, int]:
    if type(value) is not float and type(value) is not int:
        raise _wrong(path, value, "a number of seconds since 1970-01-01 UTC")
    if not _EARLIEST <= value < _LATEST:
        problem = "got a time outside of the years 1 to 9999, want seconds since 1970-01-01 UTC"
        if _EARLIEST <= (thousandth := value // 1000) < _LATEST:
            problem += f"; these look like milliseconds: of those it is {int(thousandth)} seconds"
        raise Malformed(f"`{path_text(path)}`: {problem}")
    # A double holds today's seconds to a quarter of a microsecond; finer digits would be made up.
    micros = min(round(float(value) * 1_000_000), _LATEST * 1_000_000 - 1)
    return {"seconds": micros // 1_000_000, "nanos": micros % 1_000_000 * 1000}
