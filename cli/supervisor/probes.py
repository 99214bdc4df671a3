"""Asks a process whether it really works: the health service for gRPC, a GET for HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from common.rpc.probe import is_serving

__all__ = ["Probe", "grpc_probe", "http_probe"]

#: True when the process is ready; called from a worker thread, may block for a second or two, never raises.
Probe = Callable[[], bool]


def grpc_probe(target: str, *, seconds: float = 2.0) -> Probe:
    """Probe the gRPC health service at `host:port`."""
    return lambda: is_serving(target, seconds=seconds)


def http_probe(target: str, *, path: str = "/health", seconds: float = 2.0) -> Probe:
    """Probe an HTTP server at `host:port`: healthy is any answer of the 200s."""

    def probe() -> bool:
        host, _, port = target.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=seconds)
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe
