"""What differs in a resource that exists, and the request that updates it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from cli.declaration.api import new_message
from cli.declaration.compare import Difference, differences, merge
from cli.declaration.existing import Existing
from cli.declaration.kinds import Kind, updatable_members

__all__ = ["copied", "described_after_update", "resource_differences", "update_request"]


def copied(request: Any, **fields: str) -> Any:
    """Return a copy of a request with more fields set."""
    new = type(request)()
    new.CopyFrom(request)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def resource_differences(request: Any, described: Any, kind: Kind) -> list[Difference]:
    """Return the differences of a resource; schemas are compared as JSON, not as text."""
    return [
        item
        for item in differences(request, described)
        if kind is not Kind.SCHEMA or item.path != "schema" or not _same_json(item.declared, item.existing)
    ]


def described_after_update(existing: Existing) -> Any:
    """Return a described resource as it will be when its running update is done; status and times are the update's."""
    update = existing.running_update
    if update is None:
        return existing.described
    current = copied(existing.described)
    merge(current, update)
    config = f"{existing.kind.snake}_update_config"
    if config in update.DESCRIPTOR.fields_by_name:
        merge(getattr(current, f"{existing.kind.snake}_config"), getattr(update, config))
    return current


def update_request(kind: Kind, arn: str, declared: Message, current: Any, changes: Sequence[Difference]) -> Any:
    """Return the request that updates what differs; configurations are sent whole, since they are replaced."""
    merged = copied(current)
    merge(merged, declared)
    request = new_message(f"Update{kind}", **{kind.arn_field: arn})
    for path in updatable_members(kind):
        if not any(item.is_within(path) for item in changes):
            continue
        first, _, part = path.partition(".")
        source, target = (merged, request)
        if part:
            source = getattr(merged, f"{kind.snake}_config")
            target = getattr(request, f"{kind.snake}_update_config")
        _copy_member(source, target, part or first)
    return request


def _same_json(left: str, right: str) -> bool:
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        # The control plane says what is wrong with the file's.
        return False


def _copy_member(source: Any, target: Any, member: str) -> None:
    (name,) = (field.name for field in target.DESCRIPTOR.fields if field.json_name == member)
    if target.DESCRIPTOR.fields_by_name[name].message_type is None:
        setattr(target, name, getattr(source, name))
    else:
        getattr(target, name).CopyFrom(getattr(source, name))
