"""What all public operations do with messages: check what protobuf cannot express, and convert enums and times.

The values of an enum of the contract have Personalize's texts as options; rows of the metadata store hold the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from common.errors import invalid
from control_plane.metadata_store.tables import JobResource
from protos.tailorbird.control.v1.common_pb2 import ResourceStatus
from protos.tailorbird.options.v1 import options_pb2

__all__ = ["check_message", "enum_text", "enum_value", "job_members", "status", "timestamp"]

#: The field that names the lists and maps that were sent empty, which protobuf's encoding cannot express.
_EMPTY: Final = "empty_members"


def check_message(message: Message) -> None:
    """Check the enums and texts of a request and the names of its empty members; drop names of members with content.

    Raises:
        InvalidInput: An enum has a value that is not in the contract, a text has the character U+0000, which not every
            database can keep, or a name is not that of a list or map.
    """
    for field, value in message.ListFields():
        if field.name == _EMPTY:
            _check_empty_members(message)
        elif _is_map(field):
            _check_map(field, value)
        elif field.type == FieldDescriptor.TYPE_STRING:
            _check_texts(field, value if field.is_repeated else (value,))
        elif field.message_type is not None:
            for item in value if field.is_repeated else (value,):
                check_message(item)
        elif field.enum_type is not None and not field.is_repeated:
            texts = _texts(field.enum_type)
            if value != 0 and value not in texts:
                raise invalid(field.json_name, got=value, want=f"one of {', '.join(texts.values())}")


def enum_text(descriptor: EnumDescriptor, value: int) -> str | None:
    """Return Personalize's text of a value of an enum that `check_message` has accepted; None for UNSPECIFIED."""
    return _texts(descriptor).get(value)


def enum_value(descriptor: EnumDescriptor, text: str) -> Any:
    """Return the value of an enum that has a text of Personalize.

    Raises:
        KeyError: It has no such text, which is a defect of whoever wrote the row.
    """
    return _values(descriptor)[text]


def status(text: str) -> ResourceStatus.ValueType:
    """Return the state of a resource, whose row has Personalize's text."""
    value: ResourceStatus.ValueType = enum_value(ResourceStatus.DESCRIPTOR, text)
    return value


def timestamp(moment: datetime) -> Timestamp:
    """Return a time as a message."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def job_members(job: JobResource) -> dict[str, Any]:
    """Return the members that descriptions and summaries of all jobs have."""
    return {
        "job_name": job.job_name,
        "status": status(job.status),
        "failure_reason": job.failure_reason,
        "creation_date_time": timestamp(job.creation_date_time),
        "last_updated_date_time": timestamp(job.last_updated_date_time),
    }


def _check_empty_members(message: Any) -> None:
    fields = _fields(message.DESCRIPTOR)
    names: list[str] = []
    for name in message.empty_members:
        field = fields.get(name)
        if field is None or not field.is_repeated or field.name == _EMPTY:
            collections = [key for key, item in fields.items() if item.is_repeated and item.name != _EMPTY]
            raise invalid("emptyMembers", got=name, want=f"some of {', '.join(collections)}")
        if not getattr(message, field.name):
            names.append(name)
    message.empty_members[:] = dict.fromkeys(names)


def _check_texts(field: FieldDescriptor, texts: Iterable[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise invalid(field.json_name, got=text, want="text without the character U+0000")


def _check_map(field: FieldDescriptor, entries: Mapping[Any, Any]) -> None:
    parts = [*entries, *entries.values()]
    _check_texts(field, (part for part in parts if isinstance(part, str)))
    for part in parts:
        if isinstance(part, Message):
            check_message(part)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


@lru_cache(maxsize=512)
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {field.json_name: field for field in descriptor.fields}


@lru_cache(maxsize=64)
def _texts(descriptor: EnumDescriptor) -> dict[int, str]:
    texts = {value.number: value.GetOptions().Extensions[options_pb2.aws_value] for value in descriptor.values}
    return {number: text for number, text in texts.items() if number != 0}


@lru_cache(maxsize=64)
def _values(descriptor: EnumDescriptor) -> dict[str, int]:
    return {text: number for number, text in _texts(descriptor).items()}
