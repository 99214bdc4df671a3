"""Which JetStream stream a log is in; apart from the client, so that settings need not load that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.settings import TlsFiles

__all__ = ["StreamTarget"]


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """Which stream, and how it is reached.

    Attributes:
        url: `nats://HOST:PORT` or `tls://HOST:PORT`, several separated by commas; without credentials.
        stream: Name of the stream, and the first part of its subjects.
        replicas: Servers that hold the stream, when it is made.
        credentials_file: With one line, `USER:PASSWORD`; None for a server that asks for none.
        tls: Authority and client certificate, for URLs with `tls`; None for the authorities of the operating system.
        connect_seconds: How long the first connection may take.
    """

    url: str
    stream: str = "tailorbird"
    replicas: int = 1
    credentials_file: Path | None = None
    tls: TlsFiles | None = None
    connect_seconds: float = 15.0
