"""Operations that are built and those that are not yet: one way to refuse the latter, and the page that lists all.

A servicer defines the methods it has; the decorator here makes every other method of the contract answer UNIMPLEMENTED
with a reason that names the operation. The page is generated from the same fact, so it cannot drift from the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import ServiceDescriptor

from common.errors import OperationUnavailable

__all__ = ["built_operations", "operations_page", "refuse_unbuilt"]

Servicer = TypeVar("Servicer")
_MARK: Final = "_refuses_operation"
_SERVICE: Final = "_contract"


def refuse_unbuilt(service: ServiceDescriptor) -> Callable[[type[Servicer]], type[Servicer]]:
    """Complete a servicer class: methods of the contract that it does not define raise OperationUnavailable.

    Args:
        service: The contract's service.

    Returns:
        A class decorator. What the class inherits from the generated base counts as not defined.
    """

    def decorate(kind: type[Servicer]) -> type[Servicer]:
        for method in service.methods:
            defined = any(method.name in part.__dict__ and not _generated(part, service) for part in kind.__mro__)
            if not defined:
                setattr(kind, method.name, _refusal(method.name))
        setattr(kind, _SERVICE, service)
        return kind

    return decorate


def built_operations(servicer: type[Any]) -> dict[str, bool]:
    """Return all operations of a decorated servicer's contract, by name, and whether each is built."""
    service: ServiceDescriptor = getattr(servicer, _SERVICE)
    return {method.name: not hasattr(getattr(servicer, method.name), _MARK) for method in service.methods}


def operations_page(servicers: Sequence[type[Any]], *, own: Sequence[ServiceDescriptor] = ()) -> str:
    """Return `docs/reference/operations.md`.

    Args:
        servicers: The decorated servicer class of each public service.
        own: Public services that Personalize has not, all of their operations built.
    """
    states = {getattr(servicer, _SERVICE).name: built_operations(servicer) for servicer in servicers}
    built = sum(sum(operations.values()) for operations in states.values())
    total = sum(len(operations) for operations in states.values())
    lines = [
        "# Operations",
        "",
        f"{built} of {total} operations are built. The others answer `UNIMPLEMENTED` (`NotImplementedException` to AWS",
        "clients) with a message that names the operation.",
    ]
    for service, operations in states.items():
        lines += [
            "",
            f"## {service}",
            "",
            f"{sum(operations.values())} of {len(operations)}.",
            "",
            "| Operation | State |",
            "| --- | --- |",
            *(f"| `{name}` | {'built' if done else 'not built yet'} |" for name, done in sorted(operations.items())),
        ]
    for descriptor in own:
        lines += ["", f"## {descriptor.name}", "", "Tailorbird's own, on gRPC alone.", "", "| Operation | State |"]
        lines += ["| --- | --- |", *(f"| `{method.name}` | our own |" for method in descriptor.methods)]
    return "\n".join(lines) + "\n"


def _generated(part: type[Any], service: ServiceDescriptor) -> bool:
    return part.__name__ == f"{service.name}Servicer" and part.__module__.endswith("_pb2_grpc")


def _refusal(operation: str) -> Callable[..., Any]:
    def refuse(self: object, request: object, context: object) -> Any:  # noqa: ARG001 - the signature of every method
        raise OperationUnavailable(
            f"`{operation}`: this operation is part of the API but not built yet; "
            "docs/reference/operations.md lists those that are",
            metadata={"operation": operation},
        )

    refuse.__name__ = operation
    refuse.__doc__ = f"Refuse {operation}, which is not built yet."
    setattr(refuse, _MARK, operation)
    return refuse
