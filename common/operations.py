"""Which operations are built: the others raise UNIMPLEMENTED, and a page lists all.

A servicer defines the methods that it has; the decorator here adds every other method of the contract, which raises
UNIMPLEMENTED with the operation's name. The page is generated from the same state, so it cannot drift from the code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import ServiceDescriptor

from common.errors import OperationUnavailable

__all__ = ["State", "operation_states", "operations_page", "unimplemented_methods"]

Servicer = TypeVar("Servicer")
_STATES: Final = "_operation_states"
_SERVICE: Final = "_contract"


class State(StrEnum):
    """How far an operation is built; the value is the text on the page."""

    BUILT = "built"
    UNBUILT = "not built yet"


def unimplemented_methods(service: ServiceDescriptor) -> Callable[[type[Servicer]], type[Servicer]]:
    """Complete a servicer class: methods of the contract that it does not define raise OperationUnavailable.

    Args:
        service: The contract's service.

    Returns:
        A class decorator. What the class inherits from the generated base counts as not defined.
    """

    def decorate(kind: type[Servicer]) -> type[Servicer]:
        states: dict[str, State] = {}
        for method in service.methods:
            defined = any(method.name in part.__dict__ and not _generated(part, service) for part in kind.__mro__)
            states[method.name] = State.BUILT if defined else State.UNBUILT
            if not defined:
                setattr(kind, method.name, _unimplemented(method.name))
        setattr(kind, _STATES, states)
        setattr(kind, _SERVICE, service)
        return kind

    return decorate


def operation_states(servicer: type[Any]) -> Mapping[str, State]:
    """Return all operations of a decorated servicer's contract, by name, and how far each is built."""
    states: Mapping[str, State] = getattr(servicer, _STATES)
    return states


def operations_page(servicers: Sequence[type[Any]], *, additional: Sequence[ServiceDescriptor] = ()) -> str:
    """Return `docs/reference/operations.md`.

    Args:
        servicers: The decorated servicer class of each public service.
        additional: Public services that Personalize does not have, all of their operations built.
    """
    services = {getattr(servicer, _SERVICE).name: operation_states(servicer) for servicer in servicers}
    counts = Counter(state for states in services.values() for state in states.values())
    lines = [
        "# Operations",
        "",
        f"{counts[State.BUILT]} of {counts.total()} operations are built. The others answer `UNIMPLEMENTED`",
        "(`NotImplementedException` to AWS clients) with a message that names the operation.",
    ]
    for service, states in services.items():
        lines += [
            "",
            f"## {service}",
            "",
            f"{Counter(states.values())[State.BUILT]} of {len(states)}.",
            "",
            "| Operation | State |",
            "| --- | --- |",
            *(f"| `{name}` | {state} |" for name, state in sorted(states.items())),
        ]
    for descriptor in additional:
        lines += ["", f"## {descriptor.name}", "", "Tailorbird's own, on gRPC alone.", "", "| Operation | State |"]
        lines += ["| --- | --- |", *(f"| `{method.name}` | our own |" for method in descriptor.methods)]
    return "\n".join(lines) + "\n"


def _generated(part: type[Any], service: ServiceDescriptor) -> bool:
    return part.__name__ == f"{service.name}Servicer" and part.__module__.endswith("_pb2_grpc")


def _unimplemented(operation: str) -> Callable[..., Any]:
    def method(self: object, request: object, context: object) -> Any:  # noqa: ARG001 - the signature of every method
        raise OperationUnavailable(
            f"`{operation}`: this operation is part of the API but not built yet; "
            "docs/reference/operations.md lists those that are",
            metadata={"operation": operation},
        )

    method.__name__ = operation
    method.__doc__ = f"Raise OperationUnavailable: {operation} is not built yet."
    return method
