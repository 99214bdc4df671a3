"""The five processes of one machine: their addresses and their environment variables.

A process gets its own token, the public key, the addresses of the processes it calls and its own settings, and nothing
else: no process sees the private key or secrets of the shell. Those of an S3-compatible service are for the trainer and
the events service, which read and write files of users, and where the shared store is there, for the runtime as well.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from cli.installation import Installation
from cli.supervisor import grpc_probe, http_probe
from cli.tls import tls_files
from common.errors import InvalidInput, invalid
from common.process.executed import ProcessSpec
from common.settings import AWS_VARIABLES, ProcessSettings

__all__ = [
    "DEFAULT_PORT_BASE",
    "PROCESSES",
    "Ports",
    "check_ports",
    "endpoint_variables",
    "inherited_environment",
    "process_specs",
    "stop_seconds",
    "store_url",
]

DEFAULT_PORT_BASE: Final = 7400
#: In the order in which they are started.
PROCESSES: Final = ("control_plane", "events_service", "runtime_service", "trainer", "gateway")
_HOST = "127.0.0.1"
#: Settings of how long a process takes to stop, with their defaults here.
_STOP_SETTINGS: Final = {
    "TAILORBIRD_DRAIN_SECONDS": "0",
    "TAILORBIRD_GRACE_SECONDS": str(ProcessSettings.model_fields["grace_seconds"].default),
}
#: Time beyond that: more than a process gives those that it has forked itself.
_STOP_MARGIN_SECONDS: Final = 5.0
_OFFSETS: Final = {"gateway": 0, "control_plane": 1, "events_service": 2, "runtime_service": 3, "trainer": 4}

#: Variables that processes inherit beside their own settings: where programs, libraries and temporary files are, and
#: how many threads numerical libraries may use.
_INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
)
_INHERITED_PREFIXES: Final = (
    "LC_", "PYTHON", "SSL_CERT_", "JAX_", "XLA_", "CUDA_", "NVIDIA_", "OMP_", "OPENBLAS_", "MKL_",
    "POLARS_", "GRPC_", "NUMBA_",
)  # fmt: skip
#: Variables of Ray, a token of its cluster among them, are for the process that speaks with it.
_RAY_PREFIX: Final = "RAY_"
_USES_RAY: Final = frozenset({"trainer"})
#: Settings of an S3-compatible service.
_S3_PREFIX: Final = "TAILORBIRD_S3_"
#: An address of one process, which five cannot share.
_METRICS: Final = "TAILORBIRD_METRICS_LISTEN"
_STORE: Final = "TAILORBIRD_STORE_URL"
#: Processes that read or write files of users, and those that open the shared store.
_USES_FILES: Final = frozenset({"events_service", "trainer"})
_USES_STORE: Final = frozenset({"events_service", "runtime_service", "trainer"})
#: By this variable the shell says that its other variables of AWS are meant for files of jobs. Without it they may be
#: for anything, a gateway of Tailorbird among it.
_AWS_S3: Final = "AWS_ENDPOINT_URL_S3"


@dataclass(frozen=True, slots=True)
class Ports:
    """Five ports in a row, the gateway's first; five more behind them where the processes show their figures.

    Attributes:
        base: The first port.
        secure: Whether the processes speak TLS.
        metrics: Whether each process shows its figures, on the port five behind its own.
    """

    base: int = DEFAULT_PORT_BASE
    secure: bool = False
    metrics: bool = False

    def __post_init__(self) -> None:
        last = 65535 - len(self.needed())
        if not 1 <= self.base <= last:
            raise invalid("port-base", got=self.base, want=f"1 to {last}")

    @classmethod
    def of_endpoint(cls, endpoint: str, *, metrics: bool = False) -> Ports:
        """Return the ports of a system whose gateway has this URL."""
        return cls(urlsplit(endpoint).port or DEFAULT_PORT_BASE, metrics=metrics)

    def needed(self) -> dict[int, str]:
        """Return all ports that are needed, with what for."""
        ports = {self.base + offset: process for process, offset in _OFFSETS.items()}
        if self.metrics:
            ports |= {self.base + len(_OFFSETS) + offset: f"{name}'s metrics" for name, offset in _OFFSETS.items()}
        return ports

    def metrics_address(self, process: str) -> str:
        """Return `host:port` on which a process shows its figures."""
        return f"{_HOST}:{self.port(process) + len(_OFFSETS)}"

    def port(self, process: str) -> int:
        """Return a process's port."""
        return self.base + _OFFSETS[process]

    def address(self, process: str) -> str:
        """Return `host:port` of a process."""
        return f"{_HOST}:{self.port(process)}"

    @property
    def endpoint(self) -> str:
        """URL of the gateway, which AWS SDKs take as `endpoint_url`."""
        return f"http{'s' if self.secure else ''}://{self.address('gateway')}"


def endpoint_variables(endpoint: str) -> list[str]:
    """Return the shell commands that point AWS SDKs and the AWS CLI here, for the services of Personalize only."""
    services = ("PERSONALIZE", "PERSONALIZE_EVENTS", "PERSONALIZE_RUNTIME")
    return [f"export AWS_ENDPOINT_URL_{service}={endpoint}" for service in services]


def process_specs(installation: Installation, ports: Ports, *, environ: Mapping[str, str]) -> list[ProcessSpec]:
    """Return how each process is started.

    Args:
        installation: A prepared data directory.
        ports: Ports of the processes.
        environ: The environment of this command.

    Raises:
        InvalidInput: The environment names some TLS files and not all.
    """
    tls = tls_files(environ)
    root = installation.root.resolve()
    absolute = Installation(root)
    shared = {
        "TAILORBIRD_PUBLIC_KEY_FILE": str(absolute.keys.public_key),
        "TAILORBIRD_LOG_FORM": "json",
        _STORE: store_url(installation, environ),
        "TAILORBIRD_CONTROL_PLANE": ports.address("control_plane"),
        "TAILORBIRD_EVENTS_SERVICE": ports.address("events_service"),
        "TAILORBIRD_RUNTIME_SERVICE": ports.address("runtime_service"),
    }
    # There is one of each process: clients could not go to another one while it drains.
    drain_seconds = environ.get("TAILORBIRD_DRAIN_SECONDS", "0")
    own_settings = {
        "control_plane": {"TAILORBIRD_DATABASE_URL": f"sqlite:///{root / 'catalogue.db'}"},
        "events_service": {
            "TAILORBIRD_DATA_DIR": str(root / "events"),
            "TAILORBIRD_BUCKETS_DIR": str(absolute.buckets),
            "TAILORBIRD_RECOMMENDATION_KEY_FILE": str(absolute.recommendation_key_file),
        },
        "runtime_service": {
            "TAILORBIRD_CACHE_DIR": str(root / "runtime" / "artifacts"),
            "TAILORBIRD_HISTORY_DIR": str(root / "runtime" / "history"),
            "TAILORBIRD_RECOMMENDATION_KEY_FILE": str(absolute.recommendation_key_file),
            "TAILORBIRD_DRAIN_SECONDS": drain_seconds,
        },
        "trainer": {
            "TAILORBIRD_DATA_DIR": str(root),
            "TAILORBIRD_RECOMMENDATION_KEY_FILE": str(absolute.recommendation_key_file),
        },
        "gateway": {
            "TAILORBIRD_ACCESS_KEYS_FILE": str(absolute.access_keys_file),
            "TAILORBIRD_DRAIN_SECONDS": drain_seconds,
        },
    }
    specs = []
    for process in PROCESSES:
        environment = {
            **inherited_environment(environ, process),
            **{name: value for name, value in shared.items() if name in _settings_by_process()[process]},
            "TAILORBIRD_LISTEN": ports.address(process),
            # Buffered output would be lost when a process is killed.
            "PYTHONUNBUFFERED": "1",
            **own_settings[process],
        }
        if ports.metrics:
            environment[_METRICS] = ports.metrics_address(process)
        if process != "control_plane":
            environment["TAILORBIRD_TOKEN_FILE"] = str(absolute.token_file(process))
        address = ports.address(process)
        specs.append(
            ProcessSpec(
                name=process,
                command=(sys.executable, "-m", process),
                environment=environment,
                probe=http_probe(address, tls=tls) if process == "gateway" else grpc_probe(address, tls=tls),
                address=address,
            )
        )
    return specs


def store_url(installation: Installation, environ: Mapping[str, str]) -> str:
    """Return where the shared store is: what the environment says, else the folder of the data directory."""
    url = environ.get(_STORE) or str(installation.store)
    return url if "://" in url else str(Path(url).resolve())


def stop_seconds(environment: Mapping[str, str]) -> float:
    """Return how long a process with these variables may take to stop, before it is killed.

    Raises:
        InvalidInput: A time is no number.
    """
    seconds = _STOP_MARGIN_SECONDS
    for name, default in _STOP_SETTINGS.items():
        text = environment.get(name, default)
        try:
            seconds += float(text)
        except ValueError:
            raise invalid(name, got=text, want="a number of seconds") from None
    return seconds


def inherited_environment(environ: Mapping[str, str], process: str) -> dict[str, str]:
    """Return the variables of an environment that a process gets: those that any program needs, and its settings."""
    uses_s3 = process in (_USES_STORE if environ.get(_STORE, "").startswith("s3://") else _USES_FILES)
    settings = {
        name
        for name in _settings_by_process()[process]
        if name != _METRICS and (uses_s3 or not name.startswith(_S3_PREFIX))
    }
    if uses_s3 and environ.get(_AWS_S3):
        settings |= AWS_VARIABLES
    prefixes = (*_INHERITED_PREFIXES, _RAY_PREFIX) if process in _USES_RAY else _INHERITED_PREFIXES
    return {
        name: value
        for name, value in environ.items()
        if name in _INHERITED or name in settings or name.startswith(prefixes)
    }


@lru_cache(maxsize=1)
def _settings_by_process() -> dict[str, list[str]]:
    # docs/generate.py writes the file from the settings classes, because the CLI does not import the services.
    settings: dict[str, list[str]] = json.loads(resources.files("cli").joinpath("settings.json").read_text())
    return settings


def check_ports(ports: Ports) -> None:
    """Check that all ports are free.

    Raises:
        InvalidInput: A port is taken.
    """
    needed = ports.needed()
    taken = {port: user for port, user in needed.items() if not is_free(port)}
    if taken:
        shown = ", ".join(f"{port} ({user}{_holder(port)})" for port, user in taken.items())
        raise InvalidInput(
            f"`port-base`: got {ports.base}, where these ports are taken: {shown}; want {len(needed)} free ones in "
            "a row: stop what holds them, or name another with --port-base"
        )


def is_free(port: int) -> bool:
    """Return whether a loopback port can be bound."""
    with socket.socket() as probe:
        # As servers do: closing connections of an earlier process do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def _holder(port: int) -> str:
    """Return which process listens on a port, as the rest of a message; empty when that cannot be found out."""
    try:
        holders = [item.pid for item in psutil.net_connections("tcp") if item.laddr and item.laddr.port == port]
        names = {f"process {pid}, {psutil.Process(pid).name()}" for pid in holders if pid}
    except psutil.Error:
        # Only the owner of a process, or root, may see its ports.
        return ""
    return f": {', '.join(sorted(names))}" if names else ""
