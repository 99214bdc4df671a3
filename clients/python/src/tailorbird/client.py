"""Channels to Tailorbird's services, with the deadlines, retries and pings that the services are made for.

    from tailorbird.client import TokenFile, open_channel
    from tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc

    with open_channel("dns:///tailorbird-runtime:7403", token=TokenFile(Path("token"))) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)

A channel is made once and used by all threads, or by all tasks of an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tailorbird.calls import AioCallDefaults, CallDefaults, TokenFile, channel_options, deadline_seconds

__all__ = ["Tls", "TokenFile", "channel_options", "deadline_seconds", "open_aio_channel", "open_channel"]

Token = Callable[[], str] | str


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM, read when a channel is opened.

    Attributes:
        ca_file: The authority that the services' certificates are checked with.
        cert_file: The caller's own certificate, which services with an authority want.
        key_file: Its private key.
    """

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            ValueError: There is a certificate without its key, or a key without its certificate.
            OSError: A file cannot be read.
        """
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("`key_file`: got a certificate or a key alone, want cert_file and key_file")
        pair = [None if path is None else path.read_bytes() for path in (self.key_file, self.cert_file)]
        return grpc.ssl_channel_credentials(self.ca_file.read_bytes(), *pair)


def open_channel(target: str, *, token: Token, tls: Tls | None = None) -> grpc.Channel:
    """Open a channel for blocking calls.

    Args:
        target: `HOST:PORT` is one address. `dns:///NAME:PORT` and `ipv4:ADDRESS:PORT,ADDRESS:PORT` are all addresses of
            a name or a list: calls go to those in turn whose health service says that they serve, and to others as soon
            as one stops. A proxy that balances calls itself is `HOST:PORT`: with a scheme its health would be asked,
            which is that of one process behind it, and all calls would fail while that one stops.
        token: Bearer token, or what returns the current one for each call, such as a `TokenFile`.
        tls: Certificates; None speaks plain text, for loopback and service meshes.

    Raises:
        ValueError: The target has no port, or there is a certificate without its key.
        OSError: A file of certificates cannot be read.
    """
    options = _options(target)
    plain = (
        grpc.insecure_channel(target, options=options)
        if tls is None
        else grpc.secure_channel(target, tls.credentials(), options=options)
    )
    return grpc.intercept_channel(plain, CallDefaults(_metadata(token)))


def open_aio_channel(target: str, *, token: Token, tls: Tls | None = None) -> grpc.aio.Channel:
    """Open a channel for calls of asyncio; arguments and errors as of `open_channel`."""
    options = _options(target)
    interceptors: list[Any] = [AioCallDefaults(_metadata(token))]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, tls.credentials(), options=options, interceptors=interceptors)


def _options(target: str) -> list[tuple[str, object]]:
    if ":" not in target:
        raise ValueError(f"`target`: got {target!r}, want HOST:PORT or dns:///NAME:PORT")
    return channel_options(target)


def _metadata(token: Token) -> Callable[[], Iterator[tuple[str, str]]]:
    def entries() -> Iterator[tuple[str, str]]:
        yield "authorization", f"Bearer {token if isinstance(token, str) else token()}"

    return entries
