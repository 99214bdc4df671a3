"""A whole system for one measurement: `tailorbird up` in a folder of its own, on free ports, stopped afterwards."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.processes import free_base, running_process
from cli.demo.journey import Clients, connect
from cli.installation import Installation
from cli.supervisor import http_probe
from cli.system import Ports
from common.errors import invalid
from common.process.probing import Health

__all__ = ["System", "deployed_once", "kept_folder", "running_system"]

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


@contextmanager
def kept_folder(keep: Path | None) -> Iterator[Path]:
    """Yield a folder, made if it is not there, that stays for the next run; a temporary one for None."""
    if keep is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


def deployed_once(folder: Path, made_of: Mapping[str, Any], deploy: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was deployed in the system of a kept folder, after deploying it if that was not done yet.

    Args:
        folder: The kept folder.
        made_of: What it depends on: data, epochs.
        deploy: Deploys, and returns names that JSON can carry.

    Raises:
        InvalidInput: What is deployed there was made of something else.
    """
    path, made_of = folder / "deployed.json", json.loads(json.dumps(made_of))
    if not path.exists():
        path.write_text(json.dumps({"made_of": made_of, "deployed": deploy()}, indent=2) + "\n")
    content = json.loads(path.read_text())
    if content["made_of"] != made_of:
        raise invalid("--keep", got=f"{folder} of {content['made_of']}", want=f"an empty folder, or one of {made_of}")
    deployed: dict[str, Any] = content["deployed"]
    return deployed
