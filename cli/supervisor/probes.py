"""Asks a process whether it really works: the health service for gRPC, a GET for HTTP."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress

from common.errors import InvalidInput
from common.process.probing import Health, Probe
from common.rpc.probe import ask
from common.settings import TlsFiles

__all__ = ["grpc_probe", "http_probe"]


def grpc_probe(target: str, *, seconds: float = 2.0, tls: TlsFiles | None = None) -> Probe:
    """Probe the gRPC health service at `host:port`; `tls` are certificates to speak TLS with, read at every probe."""

    def probe() -> Health:
        try:
            return ask(target, seconds=seconds, tls=tls)
        except InvalidInput:
            return Health.SILENT  # the certificates are being renewed, or have expired: nobody can be heard with them

    return probe


def http_probe(target: str, *, path: str = "/health", seconds: float = 2.0, tls: TlsFiles | None = None) -> Probe:
    """Probe an HTTP server at `host:port`: it serves with any answer of the 200s.

    Args:
        target: `host:port`.
        path: What to ask for.
        seconds: Longest time to wait.
        tls: Speaks HTTPS, and checks the server's certificate with the authority among these, or the system's.
    """
    context = ssl.create_default_context(cafile=tls.ca_file) if tls is not None else None

    def probe() -> Health:
        host, _, port = target.rpartition(":")
        place = host.strip("[]"), int(port)
        connection = (
            http.client.HTTPConnection(*place, timeout=seconds)
            if context is None
            else http.client.HTTPSConnection(*place, timeout=seconds, context=context)
        )
        # The time-out of a connection is for each piece of an answer: a server that sends a byte now and then would
        # never reach it.
        late = threading.Event()
        deadline = threading.Timer(seconds, _hang_up, [connection, late])
        deadline.daemon = True
        deadline.start()
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
            if late.is_set():
                return Health.SILENT
            return Health.SERVING if 200 <= status < 300 else Health.NOT_SERVING
        except (OSError, http.client.HTTPException, ValueError):
            return Health.SILENT
        finally:
            deadline.cancel()
            connection.close()

    return probe


def _hang_up(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    opened = connection.sock
    if opened is not None:
        # The other side, or the probe itself, may have closed it meanwhile.
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
