"""Health check from outside: `python -m common.rpc.probe HOST:PORT` exits with 0 when the process serves.

For containers, which then need no further program to be probed with.
"""

from __future__ import annotations

import enum
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["Health", "ask", "is_serving"]

#: What says that nobody answered; every other status comes from a server that does.
_SILENT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class Health(enum.Enum):
    """What a probe found. A process that answers is alive, also when it says that it is not ready."""

    SERVING = "serving"
    NOT_SERVING = "answers, but does not serve"
    SILENT = "does not answer"


def ask(target: str, *, seconds: float = 2.0) -> Health:
    """Return what the process at `host:port` says of itself within `seconds`; never raises for a process in trouble.

    Health is the one method that needs no token; plain text only, as probes come from the same host.
    """
    # A proxy of the environment never leads to a peer of ours.
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=False)
        except grpc.RpcError as error:
            return Health.SILENT if error.code() in _SILENT else Health.NOT_SERVING
    return Health.SERVING if answer.status == health_pb2.HealthCheckResponse.SERVING else Health.NOT_SERVING


def is_serving(target: str, *, seconds: float = 2.0) -> bool:
    """Return whether the process at `host:port` says that it serves, within `seconds`."""
    return ask(target, seconds=seconds) is Health.SERVING


def main() -> int:
    """Probe the first argument."""
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.stderr.write(f"`target`: got {' '.join(sys.argv[1:])!r}, want one HOST:PORT\n")
        return 2
    return 0 if is_serving(sys.argv[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
