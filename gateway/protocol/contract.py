"""Reads the contracts: which field a member of the API is, which string an enum value is."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from common.errors import TailorbirdError
from protos.tailorbird.options.v1 import options_pb2

__all__ = [
    "field_of",
    "has_empty_members",
    "list_inside",
    "map_value",
    "message_inside",
    "names_by_number",
    "numbers_by_name",
]


def field_of(descriptor: Descriptor, member: str) -> FieldDescriptor | None:
    """Return the field of a message that stands for a member of Personalize's API, None when there is none."""
    return next((field for field in descriptor.fields if field.json_name == member), None)


def has_empty_members(descriptor: Descriptor) -> bool:
    """Return whether messages of this type record which of their lists and maps were sent empty (`empty_members`)."""
    return "empty_members" in descriptor.fields_by_name


def names_by_number(enum: EnumDescriptor) -> dict[int, str]:
    """Return Personalize's strings by the enum's numbers, without the value that stands for none."""
    return {
        value.number: value.GetOptions().Extensions[options_pb2.aws_value]
        for value in enum.values
        if value.GetOptions().HasExtension(options_pb2.aws_value)
    }


def numbers_by_name(enum: EnumDescriptor) -> dict[str, int]:
    """Return the enum's numbers by Personalize's strings."""
    return {name: number for number, name in names_by_number(enum).items()}


def message_inside(field: FieldDescriptor) -> Descriptor:
    """Return the message that a field holds.

    Raises:
        TailorbirdError: It holds none, so contract and service model disagree.
    """
    if field.message_type is None:
        raise TailorbirdError(f"`{field.full_name}`: got a field that is no message, want one as in the service model")
    return field.message_type


def map_value(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Return key and value of a map field.

    Raises:
        TailorbirdError: The field is no map, so contract and service model disagree.
    """
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        raise TailorbirdError(f"`{field.full_name}`: got a field that is no map, want one as in the service model")
    return entry.fields_by_name["key"], entry.fields_by_name["value"]


def list_inside(field: FieldDescriptor) -> FieldDescriptor:
    """Return the only field of a message that stands for a list, where a repeated field cannot stand.

    Raises:
        TailorbirdError: It is no such message, so contract and service model disagree.
    """
    message = field.message_type
    if message is None or len(message.fields) != 1 or not message.fields[0].is_repeated:
        raise TailorbirdError(f"`{field.full_name}`: got no list, want a message with one repeated field")
    return message.fields[0]
