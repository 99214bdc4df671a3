"""A whole system for one measurement: `tailorbird up` in a folder of its own, on free ports, stopped afterwards."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.processes import free_base, running_process
from cli.demo.journey import Clients, connect
from cli.installation import Installation
from cli.supervisor import http_probe
from cli.system import Ports
from common.process.probing import Health

__all__ = ["System", "running_system"]

_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class System:
    """A running system."""

    installation: Installation
    ports: Ports

    def clients(self) -> Clients:
        """Return boto3 clients with an access key of their own."""
        key = self.installation.access_keys().create("benchmark")
        return connect(self.ports.endpoint, access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)

    def token(self) -> str:
        """Return a bearer token for gRPC."""
        return self.installation.keys.issuer().issue("client", subject="benchmark", lifetime=timedelta(hours=12))


@contextmanager
def running_system(folder: Path, *, settings: Mapping[str, str] | None = None, umask: int = -1) -> Iterator[System]:
    """Start everything, yield when the gateway says that all is well, stop everything.

    Args:
        folder: Data directory.
        settings: Environment variables that say how, beside those of this process.
        umask: Of its processes; -1 for that of this one.

    Raises:
        Unavailable: It did not start; its log is `folder`/system.log.
    """
    ports = Ports(free_base())
    is_healthy = http_probe(ports.address("gateway"))
    with running_process(
        [sys.executable, "-m", "cli", "up", "--data-dir", str(folder), "--port-base", str(ports.base)],
        log=folder / "system.log",
        is_ready=lambda: is_healthy() is Health.SERVING,
        start_seconds=_START_SECONDS,
        environ={**os.environ, **(settings or {})},
        umask=umask,
        stop_signal=signal.SIGTERM,
    ):
        yield System(Installation(folder), ports)
