"""How commands reach a running control plane: the one of a data directory, or one that is named.

A token goes over the wire with every call, so plain text is spoken with this machine alone; elsewhere the authority of
the control plane's certificate has to be named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import grpc
import typer

from cli.installation import Installation
from cli.system import DEFAULT_PORT_BASE, Ports
from common.errors import InvalidInput, invalid
from common.rpc import channel, from_rpc_error
from common.settings import TlsFiles

__all__ = ["CaFile", "CertFile", "ControlPlaneAddress", "KeyFile", "Reach", "TokenFile", "reach"]

#: A command is over long before.
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
class Reach:
    """Where the control plane is, and what to show it.

    Attributes:
        target: HOST:PORT.
        token: Bearer token.
        tls: The authority; None speaks plain text.
    """

    target: str
    token: str
    tls: TlsFiles | None

    @contextmanager
    def open(self) -> Iterator[grpc.Channel]:
        """Open a channel for the calls of a block.

        Raises:
            TailorbirdError: What a call in the block was answered.
        """
        with channel(self.target, token=self.token, tls=self.tls) as opened:
            try:
                yield opened
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error


def reach(data_dir: Path, *, target: str | None, token_file: Path | None, tls: TlsFiles) -> Reach:
    """Find out how to reach the control plane.

    Args:
        data_dir: Data directory of a system on this machine; its key makes a token of five minutes.
        target: HOST:PORT of another control plane; its token must be in a file.
        token_file: That file.
        tls: For another control plane: the authority of its certificate, and our own where it asks for one.

    Raises:
        InvalidInput: Nothing runs in the data directory, or something is missing for another control plane.
    """
    if target is None:
        installation = Installation(data_dir)
        running = installation.running()
        if running is None:
            raise invalid(
                "data-dir", got=str(data_dir), want="one in which `tailorbird up` runs, or --control-plane HOST:PORT"
            )
        ports = Ports(urlsplit(running.endpoint).port or DEFAULT_PORT_BASE)
        token = installation.keys.issuer().issue("operator", subject="command-line", lifetime=_TOKEN_LIFETIME)
        return Reach(ports.address("control_plane"), token, running.tls)
    if token_file is None:
        raise invalid("token-file", got=None, want="a file with a token for --control-plane")
    if tls.ca_file is None and not _loopback(target):
        raise invalid("tls-ca-file", got=None, want=f"a PEM file: a token is not sent to {target} in plain text")
    if (tls.cert_file is None) != (tls.key_file is None):
        raise invalid("tls-key-file", got=None, want="--tls-cert-file and --tls-key-file, or neither")
    for name, path in (("ca", tls.ca_file), ("cert", tls.cert_file), ("key", tls.key_file)):
        if path is not None and not path.is_file():
            raise invalid(f"tls-{name}-file", got=str(path), want="a PEM file")
    return Reach(target, _read(token_file), None if tls.ca_file is None else tls)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"`token-file`: got {path}, which cannot be read ({error}), want a bearer token") from error


def _loopback(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
