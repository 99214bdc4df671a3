"""Kinds of resources that cannot be created yet: their other operations answer as if none existed.

Code that cleans up or takes stock walks through the lists of all kinds. As long as no resource of a kind can exist, an
empty page and "does not exist" are right answers; only Create operations have to say that they are not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["UNSUPPORTED_KINDS", "UNSUPPORTED_LISTS", "UNSUPPORTED_LOOKUPS", "UnsupportedList", "UnsupportedLookup"]

#: The kinds, spelt as in ARNs.
UNSUPPORTED_KINDS: Final = frozenset({"recommender"})


@dataclass(frozen=True, slots=True)
class UnsupportedList:
    """A list operation of an unsupported kind.

    Attributes:
        member: Member of the response that holds the list.
        parent: Member of the request that narrows the list to one parent resource.
        parent_kind: Kind of the parent, as in its ARN.
    """

    member: str
    parent: str
    parent_kind: str


@dataclass(frozen=True, slots=True)
class UnsupportedLookup:
    """An operation on one resource of an unsupported kind.

    Attributes:
        member: Member of the request that holds the ARN of the resource.
        kind: Kind of the resource, as in its ARN.
    """

    member: str
    kind: str


_BY_GROUP: Final = ("datasetGroupArn", "dataset-group")

#: Operations that answer with an empty page, by name.
UNSUPPORTED_LISTS: Final[Mapping[str, UnsupportedList]] = {
    "ListRecommenders": UnsupportedList("recommenders", *_BY_GROUP),
}

#: Operations that answer that the resource does not exist, by name.
UNSUPPORTED_LOOKUPS: Final[Mapping[str, UnsupportedLookup]] = {
    "DeleteRecommender": UnsupportedLookup("recommenderArn", "recommender"),
    "DescribeRecommender": UnsupportedLookup("recommenderArn", "recommender"),
    "StartRecommender": UnsupportedLookup("recommenderArn", "recommender"),
    "StopRecommender": UnsupportedLookup("recommenderArn", "recommender"),
    "UpdateRecommender": UnsupportedLookup("recommenderArn", "recommender"),
}
