"""Which operations the servicers have, and the page that lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

__all__ = ["missing_operations", "operations_page"]


def missing_operations(servicer: type[Any], service: ServiceDescriptor) -> frozenset[str]:
    """Return the methods of a contract that a servicer has from its generated base alone: they answer UNIMPLEMENTED.

    Args:
        servicer: Its class.
        service: The contract's service.
    """
    return frozenset(
        method.name
        for method in service.methods
        if not any(method.name in part.__dict__ and not _is_generated(part) for part in servicer.__mro__)
    )


def operations_page(services: Sequence[ServiceDescriptor], *, additional: Mapping[ServiceDescriptor, str]) -> str:
    """Return `docs/reference/operations.md`.

    Args:
        services: The services of Personalize's API.
        additional: Public services that Personalize does not have, and what is to be said of each.
    """
    count = sum(len(service.methods) for service in services)
    lines = ["# Operations", "", f"All {count} operations of Amazon Personalize."]
    for service in services:
        lines += ["", f"## {service.name}", "", f"{len(service.methods)} operations.", "", "| Operation |", "| --- |"]
        lines += [f"| `{name}` |" for name in sorted(method.name for method in service.methods)]
    for service, remark in additional.items():
        lines += ["", f"## {service.name}", "", remark, "", "| Operation |", "| --- |"]
        lines += [f"| `{method.name}` |" for method in service.methods]
    return "\n".join(lines) + "\n"


def _is_generated(part: type[Any]) -> bool:
    return part.__module__.endswith("_pb2_grpc")
