"""How the public operations are written: from a document to a document, both keyed by Personalize's member names.

A class of operations has a method for each operation it offers, named in snake_case. `expose_rpcs` makes the methods of
the contract from them, so that messages are parsed and built in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlmodel import SQLModel

from control_plane.metadata_store.tables import AnyResource
from control_plane.resources.base import Page, PageRequest
from control_plane.resources.campaigns import Campaigns
from control_plane.resources.datasets import DatasetGroups, Datasets, Schemas
from control_plane.resources.imports import ImportJobs
from control_plane.resources.solutions import Solutions
from control_plane.resources.tags import Tags
from control_plane.resources.trackers import EventTrackers
from control_plane.resources.versions import SolutionVersions
from control_plane.servicers.messages import as_document, as_message

__all__ = [
    "Document",
    "Operations",
    "Resources",
    "expose_rpcs",
    "page_request",
    "snake_case",
    "tags_of",
    "to_page_response",
    "to_response",
]

Document = Mapping[str, Any]
Servicer = TypeVar("Servicer")
Row = TypeVar("Row", bound=AnyResource)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that the operations work on, one attribute for each kind."""

    dataset_groups: DatasetGroups
    schemas: Schemas
    datasets: Datasets
    imports: ImportJobs
    solutions: Solutions
    versions: SolutionVersions
    campaigns: Campaigns
    trackers: EventTrackers
    tags: Tags


class Operations:
    """Base of the classes of operations.

    Args:
        resources: What the operations work on.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources


def expose_rpcs(service: ServiceDescriptor) -> Callable[[type[Servicer]], type[Servicer]]:
    """Return a class decorator that adds an RPC method for each operation that the class has.

    Args:
        service: The contract's service. The RPC `CreateSolution` is made of the operation `create_solution`.
    """

    def decorate(kind: type[Servicer]) -> type[Servicer]:
        for method in service.methods:
            operation = getattr(kind, snake_case(method.name), None)
            if operation is not None:
                setattr(kind, method.name, _rpc_method(method, operation))
        return kind

    return decorate


def to_response(row: SQLModel, *keys: str, **extra: object) -> dict[str, Any]:
    """Return a row as part of a response: some of its members under Personalize's names, and its dates.

    Args:
        row: The row.
        keys: Names of members, e.g. `roleArn`, which is the row's `role_arn`.
        extra: Further members by name, with their values.
    """
    dates = ("creationDateTime", "lastUpdatedDateTime")
    return {**{key: getattr(row, snake_case(key)) for key in (*keys, *dates)}, **extra}


def page_request(request: Document) -> PageRequest:
    """Return which page a list operation has to return."""
    return PageRequest(request.get("nextToken"), request.get("maxResults"))


def tags_of(request: Document) -> list[tuple[str, str]]:
    """Return the tags in a request as pairs of key and value."""
    return [(tag.get("tagKey", ""), tag.get("tagValue", "")) for tag in request.get("tags", ())]


def to_page_response(member: str, page: Page[Row], to_entry: Callable[[Row], Document]) -> Document:
    """Return the response of a list operation.

    Args:
        member: The member that holds the list, e.g. `campaigns`.
        page: The rows, and the token of the next page.
        to_entry: Turns a row into an entry of the list.
    """
    entries: Iterable[Document] = [to_entry(row) for row in page.items]
    return {member: entries, "nextToken": page.next_token}


def snake_case(name: str) -> str:
    """Return a name of the API as Python writes it: `roleArn` is `role_arn`."""
    return _WORD.sub("_", name).lower()


def _rpc_method(method: MethodDescriptor, operation: Callable[[Any, Document], Document]) -> Callable[..., Message]:
    response_class = GetMessageClass(method.output_type)

    def rpc(self: object, request: Message, context: grpc.ServicerContext) -> Message:  # noqa: ARG001 - gRPC's signature
        return as_message(response_class, operation(self, as_document(request)))

    rpc.__name__ = method.name
    rpc.__doc__ = operation.__doc__
    return rpc
