"""Members of the API's requests in a file: their names, types and enum strings come from the contracts.

So a new member of the contract can be declared, compared and exported without code here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, create_model
from pydantic.functional_validators import BeforeValidator

from protos.tailorbird.control.v1.common_pb2 import StringList
from protos.tailorbird.options.v1 import options_pb2

__all__ = ["fill", "is_map", "member_names", "members_model", "to_members"]

AnyMessage = TypeVar("AnyMessage", bound=Message)
#: The field that names the lists and maps that were written empty, which protobuf's encoding cannot express.
EMPTY: Final = "empty_members"
_INT32: Final = Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)]
_INT64: Final = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]


def _as_text(value: Any) -> Any:
    """Return a number or boolean as the text that it is in the API: hyperparameters are text, and people write 8."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


_TEXT: Final = Annotated[str, BeforeValidator(_as_text)]
_SCALARS: Final[Mapping[int, Any]] = {
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BOOL: StrictBool,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_DOUBLE: Annotated[float, Field(strict=True, allow_inf_nan=False)],
    FieldDescriptor.TYPE_FLOAT: Annotated[float, Field(strict=True, allow_inf_nan=False)],
}


def member_names(descriptor: Any) -> dict[str, FieldDescriptor]:
    """Return the fields of a message by their names in the API."""
    return {field.json_name: field for field in descriptor.fields if field.name != EMPTY}


@lru_cache(maxsize=256)
def members_model(descriptor: Descriptor, omitted: Collection[str] = ()) -> type[BaseModel]:
    """Return a class that checks members of a message, without those of some names.

    Args:
        descriptor: The message.
        omitted: Names of fields that follow from the place in the file.
    """
    fields: dict[str, Any] = {
        name: (_type(field) | None, None)
        for name, field in member_names(descriptor).items()
        if field.name not in omitted
    }
    return create_model(descriptor.name, __config__=ConfigDict(extra="forbid"), **fields)


def fill(message: Message, members: Mapping[str, Any]) -> None:
    """Set fields of a message to members that its class of `members_model` has accepted; None is left out."""
    fields = member_names(message.DESCRIPTOR)
    lists_empty_members = EMPTY in message.DESCRIPTOR.fields_by_name
    for name, value in members.items():
        if value is None:
            continue
        field = fields[name]
        if lists_empty_members and field.is_repeated and not value:
            getattr(message, EMPTY).append(name)
        if is_map(field):
            _fill_map(getattr(message, field.name), value)
        elif field.is_repeated:
            _fill_list(getattr(message, field.name), field, value)
        elif field.message_type is not None:
            # An empty mapping differs from a missing one.
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), value)
        else:
            setattr(message, field.name, _to_scalar(field, value))


def to_members(message: Message, *, only: Iterable[str] | None = None) -> dict[str, Any]:
    """Return a message as it is written in a file.

    Args:
        message: The message.
        only: Names of the fields to write; None for all.
    """
    members: dict[str, Any] = {}
    names = None if only is None else frozenset(only)
    for field, value in message.ListFields():
        if field.name == EMPTY:
            for name in value:
                empty = member_names(message.DESCRIPTOR)[name]
                if not getattr(message, empty.name) and (names is None or empty.name in names):
                    members[name] = {} if is_map(empty) else []
        elif names is not None and field.name not in names:
            continue
        elif is_map(field):
            members[field.json_name] = {
                key: list(item.values) if isinstance(item, StringList) else item for key, item in sorted(value.items())
            }
        elif field.is_repeated:
            members[field.json_name] = [_from_single(field, item) for item in value]
        else:
            members[field.json_name] = _from_single(field, value)
    return members


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _message(field: FieldDescriptor) -> Any:
    assert field.message_type is not None, "it is a message"
    return field.message_type


def _type(field: FieldDescriptor) -> Any:
    """Return the type of a field for pydantic."""
    if is_map(field):
        value = _message(field).fields_by_name["value"]
        return dict.__class_getitem__(
            (str, list.__class_getitem__(_TEXT) if _is_string_list(value) else _single_type(value))
        )
    if field.is_repeated:
        return list[_single_type(field)]  # type: ignore[misc]  # a type made at run time
    return _single_type(field)


def _single_type(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return Literal[tuple(_enum_numbers(field))]
    if field.message_type is not None:
        return members_model(field.message_type)
    return _SCALARS[field.type]


def _is_string_list(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == StringList.DESCRIPTOR.full_name


def _enum_numbers(field: FieldDescriptor) -> dict[str, int]:
    """Return the numbers of an enum by the API's strings."""
    return {
        value.GetOptions().Extensions[options_pb2.aws_value]: value.number
        for value in _values(field)
        if value.GetOptions().HasExtension(options_pb2.aws_value)
    }


def _values(field: FieldDescriptor) -> Any:
    assert field.enum_type is not None, "it is an enum"
    return field.enum_type.values


def _fill_map(target: Any, value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        # Protobuf has no map of lists: the value is a message that holds one.
        if isinstance(item, list):
            target[key].values.extend(item)
        else:
            target[key] = item


def _fill_list(target: Any, field: FieldDescriptor, value: Iterable[Any]) -> None:
    for item in value:
        if field.message_type is not None:
            fill(target.add(), item)
        else:
            target.append(_to_scalar(field, item))


def _to_scalar(field: FieldDescriptor, value: Any) -> Any:
    return value if field.enum_type is None else _enum_numbers(field)[value]


def _from_single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return to_members(value)
    if field.enum_type is None:
        return value
    names = {number: name for name, number in _enum_numbers(field).items()}
    return names.get(value, value)
