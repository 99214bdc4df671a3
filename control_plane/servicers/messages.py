"""Converts messages to plain documents and back, by descriptor: keys and enum strings are Personalize's own.

So operations use Personalize's names, and a new member of the contract needs no code here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from common.errors import invalid
from protos.tailorbird.control.v1.common_pb2 import StringList
from protos.tailorbird.options.v1 import options_pb2

__all__ = ["as_document", "as_message"]

#: The field that names the lists and maps that were sent empty, which protobuf's encoding cannot express.
_EMPTY: Final = "empty_members"
AnyMessage = TypeVar("AnyMessage", bound=Message)


def as_document(message: Message) -> dict[str, Any]:
    """Return a message as a document keyed by Personalize's member names, without the members that are not set.

    Raises:
        InvalidInput: An enum has a value that is not in the contract.
    """
    document: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == _EMPTY:
            document.update(_empty_members(message, value))
        elif _is_map(field):
            # Protobuf has no map of lists: the value is a message that holds one.
            document[field.json_name] = {
                key: list(item.values) if isinstance(item, StringList) else item for key, item in value.items()
            }
        elif field.is_repeated:
            document[field.json_name] = [_to_plain(field, item) for item in value]
        elif (plain := _to_plain(field, value)) is not None:
            document[field.json_name] = plain
    return document


def as_message(kind: type[AnyMessage], document: Mapping[str, Any]) -> AnyMessage:
    """Return a document as a message of a class; entries that are None are left out."""
    message = kind()
    _fill(message, document)
    return message


def _empty_members(message: Message, names: Iterable[str]) -> dict[str, Any]:
    """Return the members that were sent as empty lists and maps, except those that are not empty after all.

    Raises:
        InvalidInput: A name is not that of a list or map of the message.
    """
    fields = _fields(message.DESCRIPTOR)
    empty: dict[str, Any] = {}
    for name in names:
        field = fields.get(name)
        if field is None or not field.is_repeated or field.name == _EMPTY:
            collections = [key for key, item in fields.items() if item.is_repeated and item.name != _EMPTY]
            raise invalid("emptyMembers", got=name, want=f"some of {', '.join(collections)}")
        if not getattr(message, field.name):
            empty[name] = {} if _is_map(field) else []
    return empty


def _fill(message: Message, document: Mapping[str, Any]) -> None:
    fields = _fields(message.DESCRIPTOR)
    lists_empty_members = _EMPTY in message.DESCRIPTOR.fields_by_name
    for key, value in document.items():
        if value is None:
            continue
        field = fields[key]
        if lists_empty_members and field.is_repeated and not value:
            getattr(message, _EMPTY).append(key)
        if _is_map(field):
            _fill_map(getattr(message, field.name), value)
        elif field.is_repeated and field.message_type is not None:
            for item in value:
                _fill(getattr(message, field.name).add(), item)
        elif field.is_repeated:
            getattr(message, field.name).extend(value)
        elif isinstance(value, datetime):
            getattr(message, field.name).FromDatetime(value)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            # An empty document differs from a missing one.
            child.SetInParent()
            _fill(child, value)
        elif field.enum_type is not None:
            setattr(message, field.name, _numbers(field.enum_type)[value])
        else:
            setattr(message, field.name, value)


def _fill_map(target: Any, value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        if isinstance(item, list):
            target[key].values.extend(item)
        else:
            target[key] = item


def _to_plain(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC)
    if isinstance(value, Message):
        return as_document(value)
    if field.enum_type is None:
        return value
    if value == 0:
        return None
    names = {number: name for name, number in _numbers(field.enum_type).items()}
    if value not in names:
        raise invalid(field.json_name, got=value, want=f"one of {', '.join(names.values())}")
    return names[value]


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


@lru_cache(maxsize=512)
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {field.json_name: field for field in descriptor.fields}


@lru_cache(maxsize=64)
def _numbers(descriptor: EnumDescriptor) -> dict[str, int]:
    return {
        value.GetOptions().Extensions[options_pb2.aws_value]: value.number
        for value in descriptor.values
        if value.number != 0
    }
