"""A whole system for one measurement: `tailorbird up` in a folder of its own, on free ports, stopped afterwards."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from cli.demo.journey import Clients, connect
from cli.installation import Installation
from cli.system import PROCESSES, Ports
from common.errors import Unavailable

__all__ = ["System", "free_base", "running_system"]

_START_SECONDS = 120.0
_BASES = range(21000, 30000, 10)


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
    log = folder / "system.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "cli", "up", "--data-dir", str(folder), "--port-base", str(ports.base)]
        environ = {**os.environ, **(settings or {})}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environ, umask=umask)
        try:
            _wait_healthy(f"{ports.endpoint}/health", process, log)
            yield System(Installation(folder), ports)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _wait_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    pause = threading.Event()
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            pause.wait(0.2)
    raise Unavailable(f"the system: got no health within {_START_SECONDS:g} s, want it started; see {log}")


def free_base() -> int:
    """Return the first of as many free ports in a row as there are processes.

    They lie below those that Linux gives to outgoing connections, and are drawn, so that systems that start at the same
    time do not choose the same.

    Raises:
        Unavailable: None were found.
    """
    bases = list(_BASES)
    random.shuffle(bases)
    for base in bases:
        sockets = [socket.socket() for _ in PROCESSES]
        try:
            for place, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", base + place))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in sockets:
                probe.close()
    raise Unavailable(f"ports: got none free, want five in a row between {_BASES.start} and {_BASES.stop}")
