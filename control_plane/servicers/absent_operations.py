"""Operations on kinds of resources of which none can be made yet: lists are empty, and what is named does not exist."""

from __future__ import annotations

from collections.abc import Callable

from common.arn import Arn
from common.operations import State
from control_plane.domain.absent import ABSENT_LISTS, ABSENT_LOOKS, AbsentList, AbsentLook
from control_plane.domain.fields import check_page_size, does_not_exist, required
from control_plane.domain.paging import read_token
from control_plane.servicers.operations import Document, Operations, snake

__all__ = ["ABSENT_STATES", "AbsentOperations"]

#: For the page of operations.
ABSENT_STATES = {
    **dict.fromkeys(ABSENT_LISTS, State.EMPTY),
    **dict.fromkeys(ABSENT_LOOKS, State.NOT_FOUND),
}


class AbsentOperations(Operations):
    """Has a method for each operation of `control_plane.domain.absent`."""


def _empty(name: str, what: AbsentList) -> Callable[[object, Document], Document]:
    def answer(_: object, asked: Document) -> Document:
        check_page_size(asked.get("maxResults"))
        parent = asked.get(what.parent)
        if parent is not None:
            Arn.parse(parent, field=what.parent, kind=what.parent_kind)
        if token := asked.get("nextToken"):
            read_token(token, scope=name)
        return {what.member: []}

    answer.__doc__ = f"Answer {name} with an empty page."
    return answer


def _not_found(name: str, what: AbsentLook) -> Callable[[object, Document], Document]:
    def answer(_: object, asked: Document) -> Document:
        arn = required(what.member, asked.get(what.member, ""))
        Arn.parse(arn, field=what.member, kind=what.kind)
        raise does_not_exist(arn, field=what.member)

    answer.__doc__ = f"Answer {name}: there is no such resource."
    return answer


for _name, _list in ABSENT_LISTS.items():
    setattr(AbsentOperations, snake(_name), _empty(_name, _list))
for _name, _look in ABSENT_LOOKS.items():
    setattr(AbsentOperations, snake(_name), _not_found(_name, _look))
