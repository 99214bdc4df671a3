"""Operations on kinds of resources that cannot be created yet: lists are empty, and nothing is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from common.arn import Arn
from common.operations import State
from control_plane.domain.fields import check_page_size, does_not_exist, required
from control_plane.domain.paging import read_token
from control_plane.domain.unsupported_kinds import (
    UNSUPPORTED_LISTS,
    UNSUPPORTED_LOOKUPS,
    UnsupportedList,
    UnsupportedLookup,
)
from control_plane.servicers.control.messages import check_message
from control_plane.servicers.control.methods import Methods, optional
from protos.tailorbird.control.v1 import control_plane_service_pb2

__all__ = ["UNSUPPORTED_STATES", "UnsupportedMethods"]

UNSUPPORTED_STATES = {
    **dict.fromkeys(UNSUPPORTED_LISTS, State.EMPTY),
    **dict.fromkeys(UNSUPPORTED_LOOKUPS, State.NOT_FOUND),
}
_SERVICE = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"]


class UnsupportedMethods(Methods):
    """Has a method for each entry of `UNSUPPORTED_LISTS` and `UNSUPPORTED_LOOKUPS`, set below."""


def _field(name: str, member: str) -> str:
    """Return the name of the field of an operation's request that has a name of Personalize."""
    fields = _SERVICE.methods_by_name[name].input_type.fields
    return next(field.name for field in fields if field.json_name == member)


def _empty_list(name: str, spec: UnsupportedList) -> Callable[[object, Any, object], Message]:
    parent_field = _field(name, spec.parent)
    response = GetMessageClass(_SERVICE.methods_by_name[name].output_type)

    def method(_: object, request: Any, __: object) -> Message:
        check_message(request)
        check_page_size(optional(request, "max_results"))
        parent = optional(request, parent_field)
        if parent is not None:
            Arn.parse(parent, field=spec.parent, kind=spec.parent_kind)
        if request.next_token:
            read_token(request.next_token, scope=name)
        return response()

    method.__doc__ = f"Answer {name} with an empty page."
    return method


def _not_found(name: str, spec: UnsupportedLookup) -> Callable[[object, Any, object], Message]:
    field = _field(name, spec.member)

    def method(_: object, request: Any, __: object) -> Message:
        arn = required(spec.member, getattr(request, field))
        Arn.parse(arn, field=spec.member, kind=spec.kind)
        raise does_not_exist(arn, field=spec.member)

    method.__doc__ = f"Answer {name}: there is no such resource."
    return method


for _name, _list in UNSUPPORTED_LISTS.items():
    setattr(UnsupportedMethods, _name, _empty_list(_name, _list))
for _name, _lookup in UNSUPPORTED_LOOKUPS.items():
    setattr(UnsupportedMethods, _name, _not_found(_name, _lookup))
