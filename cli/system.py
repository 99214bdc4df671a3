"""The five processes of one machine: their addresses, their settings, and what each may know.

A process is told its own token, the public key and the addresses of those it calls, and nothing else: no process sees
the private key, and the secrets of the surrounding shell stay there.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psutil

from cli.installation import Installation
from cli.supervisor import ProcessSpec, grpc_probe, http_probe
from common.errors import InvalidInput, invalid

__all__ = ["DEFAULT_PORT_BASE", "PROCESSES", "Ports", "check_ports", "inherited_environment", "process_specs"]

DEFAULT_PORT_BASE: Final = 7400
#: In the order of dependence; also the order of the ports, from the gateway's on.
PROCESSES: Final = ("control_plane", "events_service", "runtime_service", "trainer", "gateway")
_HOST = "127.0.0.1"
_OFFSETS: Final = {"gateway": 0, "control_plane": 1, "events_service": 2, "runtime_service": 3, "trainer": 4}

#: What processes need of the surrounding environment: where programs, libraries and temporary files are, how many
#: threads numerics may use, and settings of ours that a person chose.
_INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
)
_INHERITED_PREFIXES: Final = (
    "TAILORBIRD_", "LC_", "PYTHON", "SSL_CERT_", "JAX_", "XLA_", "CUDA_", "NVIDIA_", "OMP_", "OPENBLAS_", "MKL_",
    "POLARS_", "GRPC_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ports:
    """Five ports in a row, the gateway's first."""

    base: int = DEFAULT_PORT_BASE

    def __post_init__(self) -> None:
        if not 1 <= self.base <= 65535 - len(_OFFSETS):
            raise invalid("port-base", got=self.base, want=f"1 to {65535 - len(_OFFSETS)}")

    def port(self, process: str) -> int:
        """Return a process's port."""
        return self.base + _OFFSETS[process]

    def address(self, process: str) -> str:
        """Return `host:port` of a process."""
        return f"{_HOST}:{self.port(process)}"

    @property
    def endpoint(self) -> str:
        """What AWS SDKs take as `endpoint_url`."""
        return f"http://{self.address('gateway')}"


def process_specs(installation: Installation, ports: Ports, *, environ: Mapping[str, str]) -> list[ProcessSpec]:
    """Return what to run.

    Args:
        installation: A prepared data directory.
        ports: Where they listen.
        environ: The environment of this command.
    """
    root = installation.root.resolve()
    here = Installation(root)
    peers = {
        "TAILORBIRD_CONTROL_PLANE": ports.address("control_plane"),
        "TAILORBIRD_EVENTS_SERVICE": ports.address("events_service"),
        "TAILORBIRD_RUNTIME_SERVICE": ports.address("runtime_service"),
    }
    store = {"TAILORBIRD_STORE_URL": str(here.store)}
    own = {
        "control_plane": {"TAILORBIRD_DATABASE_URL": f"sqlite:///{root / 'catalogue.db'}", **store},
        "events_service": {
            "TAILORBIRD_DATA_DIR": str(root / "events"),
            **store,
            **_only(peers, "control_plane"),
        },
        "runtime_service": {
            "TAILORBIRD_CACHE_DIR": str(root / "runtime" / "artifacts"),
            "TAILORBIRD_HISTORY_DIR": str(root / "runtime" / "history"),
            **store,
            **_only(peers, "control_plane", "events_service"),
        },
        "trainer": {
            "TAILORBIRD_DATA_DIR": str(root),
            **store,
            **_only(peers, "control_plane", "events_service"),
        },
        "gateway": {
            "TAILORBIRD_ACCESS_KEYS_FILE": str(here.access_keys_file),
            # It is the only one, so that nobody could go elsewhere meanwhile.
            "TAILORBIRD_DRAIN_SECONDS": environ.get("TAILORBIRD_DRAIN_SECONDS", "0"),
            **peers,
        },
    }
    inherited = inherited_environment(environ)
    specs = []
    for process in PROCESSES:
        environment = {
            **inherited,
            "TAILORBIRD_LISTEN": ports.address(process),
            "TAILORBIRD_PUBLIC_KEY_FILE": str(here.public_key),
            "TAILORBIRD_LOG_FORM": "json",
            # Output that is held back is lost when a process is killed.
            "PYTHONUNBUFFERED": "1",
            **own[process],
        }
        if process != "control_plane":
            environment["TAILORBIRD_TOKEN_FILE"] = str(here.token_file(process))
        address = ports.address(process)
        specs.append(
            ProcessSpec(
                name=process,
                command=(sys.executable, "-m", process),
                environment=environment,
                probe=http_probe(address) if process == "gateway" else grpc_probe(address),
                address=address,
            )
        )
    return specs


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that processes get."""
    return {
        name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def check_ports(ports: Ports) -> None:
    """Check that all ports are free, before anything is started.

    Raises:
        InvalidInput: One is not.
    """
    taken = [process for process in PROCESSES if not is_free(ports.port(process))]
    if taken:
        shown = ", ".join(f"{ports.port(process)} ({process}{_holder(ports.port(process))})" for process in taken)
        raise InvalidInput(
            f"`port-base`: got {ports.base}, where these ports are taken: {shown}; want {len(PROCESSES)} free ones in "
            "a row: stop what holds them, or name another with --port-base"
        )


def is_free(port: int) -> bool:
    """Return whether a loopback port can be bound."""
    with socket.socket() as probe:
        # As servers do: connections of a predecessor that still wind down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def _only(peers: Mapping[str, str], *processes: str) -> dict[str, str]:
    wanted = {f"TAILORBIRD_{process.upper()}" for process in processes}
    return {name: value for name, value in peers.items() if name in wanted}


def _holder(port: int) -> str:
    try:
        holders = [item.pid for item in psutil.net_connections("tcp") if item.laddr and item.laddr.port == port]
        names = {f"process {pid}, {psutil.Process(pid).name()}" for pid in holders if pid}
    except psutil.Error:
        # Only the owner of a process, or root, may see its ports; the message does without.
        return ""
    return f": {', '.join(sorted(names))}" if names else ""
