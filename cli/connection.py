"""Connections of commands to a control plane: the one that runs in a data directory, or one with a given address.

Every call carries a token, so plain text is allowed to loopback addresses only; for other hosts the authority of the
control plane's certificate is required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import grpc
import typer

from cli.installation import Installation
from cli.system import Ports
from common.errors import InvalidInput, Unauthenticated, invalid
from common.rpc import channel, file_token, from_rpc_error
from common.settings import TlsFiles

__all__ = [
    "CaFile",
    "CertFile",
    "Connection",
    "ControlPlaneAddress",
    "KeyFile",
    "TokenFile",
    "resolve_connection",
    "runtime_connections",
]

#: Each call gets a token of its own, since a command may wait for hours.
_TOKEN_LIFETIME = timedelta(minutes=5)

ControlPlaneAddress = Annotated[
    str | None,
    typer.Option("--control-plane", help="HOST:PORT of a control plane that was not started in the data directory."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a bearer token for it, from `tailorbird keys token`."),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--tls-ca-file", help="Authority that its certificate is checked with (PEM); needed for other hosts."),
]
CertFile = Annotated[
    Path | None,
    typer.Option("--tls-cert-file", help="Own certificate (PEM), for a control plane that asks for one."),
]
KeyFile = Annotated[Path | None, typer.Option("--tls-key-file", help="Private key of that certificate (PEM).")]


@dataclass(frozen=True, slots=True)
class Connection:
    """How to connect to a control plane.

    Attributes:
        target: HOST:PORT.
        token: Returns the bearer token of a call.
        tls: The authority of its certificate, and an own one if needed; None for plain text.
    """

    target: str
    token: Callable[[], str]
    tls: TlsFiles | None

    @contextmanager
    def open(self) -> Iterator[grpc.Channel]:
        """Open a channel for the calls of a block.

        Raises:
            TailorbirdError: A call in the block failed.
        """
        with channel(self.target, token=self.token, tls=self.tls) as open_channel:
            try:
                yield open_channel
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error


def resolve_connection(
    data_dir: Path,
    *,
    target: str | None,
    token_file: Path | None,
    tls: TlsFiles,
    process: str = "control_plane",
) -> Connection:
    """Return how to connect to the control plane that the options name, or to another process.

    Args:
        data_dir: Data directory of a system on this machine; its key signs tokens of five minutes.
        target: HOST:PORT of another control plane; None for that of the data directory.
        token_file: File with a token for the other control plane; it is read again when it is replaced.
        tls: The authority of the other control plane's certificate, and an own certificate where it requires one.
        process: Which process of the data directory, one of `cli.system.PROCESSES`; `target` is then one of its kind.

    Raises:
        InvalidInput: No system runs in the data directory, or an option is missing for another control plane.
    """
    if target is None:
        installation = Installation(data_dir)
        running = installation.running()
        if running is None:
            raise invalid(
                "data-dir", got=str(data_dir), want="one in which `tailorbird up` runs, or --control-plane HOST:PORT"
            )
        ports = Ports.of_endpoint(running.endpoint)
        issuer = installation.keys.issuer()

        def new_token() -> str:
            return issuer.issue("operator", subject="command-line", lifetime=_TOKEN_LIFETIME)

        return Connection(ports.address(process), new_token, running.tls)
    if token_file is None:
        raise invalid("token-file", got=None, want="a file with a token for --control-plane")
    if tls.ca_file is None and not _is_loopback(target):
        raise invalid("tls-ca-file", got=None, want=f"a PEM file: a token is not sent to {target} in plain text")
    if (tls.cert_file is None) != (tls.key_file is None):
        raise invalid("tls-key-file", got=None, want="--tls-cert-file and --tls-key-file, or neither")
    for name, path in (("ca", tls.ca_file), ("cert", tls.cert_file), ("key", tls.key_file)):
        if path is not None and not path.is_file():
            raise invalid(f"tls-{name}-file", got=str(path), want="a PEM file")
    token = file_token(token_file)
    try:
        token()
    except (Unauthenticated, UnicodeDecodeError) as error:
        message = f"`token-file`: got {token_file}, which cannot be read ({error}), want a bearer token"
        raise InvalidInput(message) from error
    return Connection(target, token, None if tls.ca_file is None else tls)


def runtime_connections(connection: Connection, targets: Sequence[str], *, data_dir: Path) -> list[Connection]:
    """Return how to connect to runtimes, with the token and the authority of a connection to their control plane.

    Args:
        connection: From `resolve_connection`.
        targets: HOST:PORT of each; none for that of the system that runs in the data directory.
        data_dir: The data directory.

    Raises:
        InvalidInput: A token would be sent to another host in plain text.
    """
    running = Installation(data_dir).running()
    if not targets and running is not None:
        ports = Ports.of_endpoint(running.endpoint)
        # Another control plane has other runtimes.
        targets = [ports.address("runtime_service")] if ports.address("control_plane") == connection.target else []
    for target in targets:
        if connection.tls is None and not _is_loopback(target):
            raise invalid("tls-ca-file", got=None, want=f"a PEM file: a token is not sent to {target} in plain text")
    return [replace(connection, target=target) for target in targets]


def _is_loopback(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
