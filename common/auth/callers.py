"""The roles that may call a service, as the contracts name them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf import descriptor_pool

from protos.tailorbird.options.v1 import options_pb2

__all__ = ["ANY_ROLE", "OPEN", "admitted_roles", "is_between_processes"]

#: Everyone, without a token: a probe has none.
OPEN: Final = frozenset({"*open*"})
#: Any valid token.
ANY_ROLE: Final = frozenset({"*any*"})

#: Roles of the processes that ask each other for work and news, and forward nobody's calls.
_PROCESSES: Final = frozenset({"trainer", "runtime", "events"})

_LIBRARY_SERVICES = {
    "grpc.health.v1.Health": OPEN,
    "grpc.reflection.v1alpha.ServerReflection": ANY_ROLE,
    "grpc.reflection.v1.ServerReflection": ANY_ROLE,
}


@lru_cache(maxsize=256)
def admitted_roles(method: str) -> frozenset[str]:
    """Return the roles that may call a method; empty (nobody) for services that name none.

    Args:
        method: Full name as on the wire, e.g. `/tailorbird.control.v1.ControlPlaneService/ListRecipes`.
    """
    service = method.removeprefix("/").rpartition("/")[0]
    if service in _LIBRARY_SERVICES:
        return _LIBRARY_SERVICES[service]
    try:
        descriptor = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return frozenset()
    return frozenset(descriptor.GetOptions().Extensions[options_pb2.callers])


def is_between_processes(method: str) -> bool:
    """Return whether only processes of the installation may call a method: what its clients rely on depends on that."""
    roles = admitted_roles(method)
    return bool(roles) and roles <= _PROCESSES
