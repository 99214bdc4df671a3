"""ControlPlaneService: the public operations put together, each method made from an operation on documents.

Operations on kinds of resources that cannot be created yet are made here from their table; whatever is not built at all
answers UNIMPLEMENTED with the name of the operation.
"""

from __future__ import annotations

from collections.abc import Callable

from common.arn import Arn
from common.operations import State, unimplemented_methods
from control_plane.domain.fields import check_page_size, does_not_exist, required
from control_plane.domain.paging import read_token
from control_plane.domain.unsupported_kinds import (
    UNSUPPORTED_LISTS,
    UNSUPPORTED_LOOKUPS,
    UnsupportedList,
    UnsupportedLookup,
)
from control_plane.servicers.dataset_operations import (
    DatasetOperations,
    ImportOperations,
    TagOperations,
    TrackerOperations,
)
from control_plane.servicers.model_operations import CampaignOperations, RecipeOperations, SolutionOperations
from control_plane.servicers.operations import Document, Operations, expose_rpcs, snake_case
from protos.tailorbird.control.v1 import control_plane_service_pb2

__all__ = ["CONTROL_PLANE_SERVICE", "ControlPlaneServicer"]

CONTROL_PLANE_SERVICE = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"]

_UNSUPPORTED_STATES = {
    **dict.fromkeys(UNSUPPORTED_LISTS, State.EMPTY),
    **dict.fromkeys(UNSUPPORTED_LOOKUPS, State.NOT_FOUND),
}


class UnsupportedKindOperations(Operations):
    """Has an operation for each entry of `UNSUPPORTED_LISTS` and `UNSUPPORTED_LOOKUPS`, set below."""


def _empty_list(name: str, spec: UnsupportedList) -> Callable[[object, Document], Document]:
    def operation(_: object, request: Document) -> Document:
        check_page_size(request.get("maxResults"))
        parent = request.get(spec.parent)
        if parent is not None:
            Arn.parse(parent, field=spec.parent, kind=spec.parent_kind)
        if token := request.get("nextToken"):
            read_token(token, scope=name)
        return {spec.member: []}

    operation.__doc__ = f"Answer {name} with an empty page."
    return operation


def _not_found(name: str, spec: UnsupportedLookup) -> Callable[[object, Document], Document]:
    def operation(_: object, request: Document) -> Document:
        arn = required(spec.member, request.get(spec.member, ""))
        Arn.parse(arn, field=spec.member, kind=spec.kind)
        raise does_not_exist(arn, field=spec.member)

    operation.__doc__ = f"Answer {name}: there is no such resource."
    return operation


for _name, _list in UNSUPPORTED_LISTS.items():
    setattr(UnsupportedKindOperations, snake_case(_name), _empty_list(_name, _list))
for _name, _lookup in UNSUPPORTED_LOOKUPS.items():
    setattr(UnsupportedKindOperations, snake_case(_name), _not_found(_name, _lookup))


@unimplemented_methods(CONTROL_PLANE_SERVICE, partly=_UNSUPPORTED_STATES)
@expose_rpcs(CONTROL_PLANE_SERVICE)
class ControlPlaneServicer(
    DatasetOperations,
    ImportOperations,
    TrackerOperations,
    RecipeOperations,
    SolutionOperations,
    CampaignOperations,
    TagOperations,
    UnsupportedKindOperations,
):
    """All operations of Personalize's control plane.

    It does not inherit the generated base class: the decorators add every method of the contract.
    """
