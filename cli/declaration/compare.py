"""Differences between what a file declares of a resource and how the resource is described.

Only what the file says counts: what it does not mention is left as it is. A list or map that it mentions is compared as
a whole, and an empty one equals an absent one, as does false: services drop them from what they describe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cli.declaration.members import EMPTY, member_names, to_members

__all__ = ["Difference", "differences", "merge"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A member that differs.

    Attributes:
        path: Names of the member and those around it, e.g. `campaignConfig.rankingInfluence`.
        existing: Its value as described, None if it has none.
        declared: Its value in the file.
    """

    path: str
    existing: Any
    declared: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.existing)} -> {_shown(self.declared)}"

    def is_within(self, path: str) -> bool:
        """Return whether the member is another one, or a part of it."""
        return self.path == path or self.path.startswith(f"{path}.")


def differences(declared: Message, described: Message, *, prefix: str = "") -> Iterator[Difference]:
    """Yield the members of a declared request that the described resource has another value of.

    Members that the description does not have, such as tags, are left out.
    """
    fields = described.DESCRIPTOR.fields_by_name
    for field in _stated(declared):
        other = fields.get(field.name)
        if other is None:
            continue
        path = f"{prefix}{field.json_name}"
        if field.message_type is not None and not field.is_repeated:
            yield from differences(getattr(declared, field.name), getattr(described, field.name), prefix=f"{path}.")
            continue
        want = to_members(declared, only=[field.name]).get(field.json_name)
        got = to_members(described, only=[field.name]).get(field.json_name)
        if want != got and (want or got):
            yield Difference(path, got, want)


def merge(target: Message, declared: Message) -> None:
    """Set in a message what another states, and leave the rest; lists and maps are replaced as a whole."""
    fields = target.DESCRIPTOR.fields_by_name
    for field in _stated(declared):
        if field.name not in fields:
            continue
        if field.message_type is not None and not field.is_repeated:
            getattr(target, field.name).SetInParent()
            merge(getattr(target, field.name), getattr(declared, field.name))
        elif field.is_repeated:
            target.ClearField(field.name)
            getattr(target, field.name).MergeFrom(getattr(declared, field.name))
        else:
            setattr(target, field.name, getattr(declared, field.name))
    if EMPTY in fields:
        names = {*getattr(target, EMPTY), *getattr(declared, EMPTY, ())}
        members = member_names(target.DESCRIPTOR)
        target.ClearField(EMPTY)
        getattr(target, EMPTY).extend(sorted(name for name in names if not getattr(target, members[name].name)))


def _stated(declared: Message) -> Iterator[FieldDescriptor]:
    """Yield the fields that are set, and the lists and maps that were written empty."""
    set_fields = [field for field, _ in declared.ListFields() if field.name != EMPTY]
    yield from set_fields
    members = member_names(declared.DESCRIPTOR)
    for name in getattr(declared, EMPTY, ()):
        if members[name] not in set_fields:
            yield members[name]


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    # What is shown on a terminal must not steer it.
    return text if text.isprintable() else repr(text)
