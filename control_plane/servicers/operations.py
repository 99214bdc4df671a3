"""How the public operations are written: from a document to a document, both keyed by Personalize's member names.

A class of operations has a method for each operation it offers, named in snake_case. `answers` makes the methods of the
contract from them, so that parsing and building of messages stand in one place.
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

__all__ = ["Document", "Operations", "Resources", "answers", "asked_page", "asked_tags", "show", "show_page", "snake"]

Document = Mapping[str, Any]
Servicer = TypeVar("Servicer")
Row = TypeVar("Row", bound=AnyResource)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Resources:
    """All operations on resources."""

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
    """Base of the classes of operations."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources


def answers(service: ServiceDescriptor) -> Callable[[type[Servicer]], type[Servicer]]:
    """Give a class the contract's methods for all operations that it has."""

    def decorate(kind: type[Servicer]) -> type[Servicer]:
        for method in service.methods:
            operation = getattr(kind, snake(method.name), None)
            if operation is not None:
                setattr(kind, method.name, _on_the_wire(method, operation))
        return kind

    return decorate


def show(row: SQLModel, *keys: str, **more: object) -> dict[str, Any]:
    """Return members of a row under Personalize's names, its dates among them.

    Args:
        row: The row.
        keys: Names of members, e.g. `roleArn`, which is the row's `role_arn`.
        more: Further members, by their names.
    """
    dates = ("creationDateTime", "lastUpdatedDateTime")
    return {**{key: getattr(row, snake(key)) for key in (*keys, *dates)}, **more}


def asked_page(document: Document) -> PageRequest:
    """Return which page a list operation was asked for."""
    return PageRequest(document.get("nextToken"), document.get("maxResults"))


def asked_tags(document: Document) -> list[tuple[str, str]]:
    """Return the tags in a request."""
    return [(tag.get("tagKey", ""), tag.get("tagValue", "")) for tag in document.get("tags", ())]


def show_page(key: str, page: Page[Row], entry: Callable[[Row], Document]) -> Document:
    """Return the answer of a list operation."""
    entries: Iterable[Document] = [entry(row) for row in page.items]
    return {key: entries, "nextToken": page.next_token}


def _on_the_wire(method: MethodDescriptor, operation: Callable[[Any, Document], Document]) -> Callable[..., Message]:
    answer = GetMessageClass(method.output_type)

    def call(self: object, request: Message, context: grpc.ServicerContext) -> Message:  # noqa: ARG001 - gRPC's signature
        return as_message(answer, operation(self, as_document(request)))

    call.__name__ = method.name
    call.__doc__ = operation.__doc__
    return call


def snake(name: str) -> str:
    """Return a name of the API as Python writes it: `roleArn` is `role_arn`."""
    return _WORD.sub("_", name).lower()
