"""Health check from outside: `python -m common.rpc.probe HOST:PORT` exits with 0 when the process serves.

For containers, which then need no further program to be probed with. It speaks TLS where the process that it probes
does: both read `TAILORBIRD_TLS_*`.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import InvalidInput
from common.process.probing import Health
from common.rpc.certificates import channel_credentials
from common.settings import TlsFiles, TlsSettings

__all__ = ["ask", "is_serving"]

#: What says that nobody answered; every other status comes from a server that does.
_SILENT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def ask(target: str, *, seconds: float = 2.0, tls: TlsFiles | None = None) -> Health:
    """Return what the process at `host:port` says of itself within `seconds`; never raises for a process in trouble.

    Health is the one method that needs no token.

    Args:
        target: `host:port`.
        seconds: Longest time to wait.
        tls: Certificates of the process that asks; None speaks plain text.

    Raises:
        InvalidInput: There is a certificate, but no authority to check that of the process with; or a file is wrong.
    """
    credentials = channel_credentials(tls)
    if tls is not None and credentials is None:
        raise InvalidInput("`tls_ca_file`: got none, want the authority of the certificate of the process to probe")
    # A proxy of the environment never leads to a peer of ours.
    options = [("grpc.enable_http_proxy", 0)]
    with (
        grpc.insecure_channel(target, options=options)
        if credentials is None
        else grpc.secure_channel(target, credentials, options=options)
    ) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=False)
        except grpc.RpcError as error:
            return Health.SILENT if error.code() in _SILENT else Health.NOT_SERVING
    return Health.SERVING if answer.status == health_pb2.HealthCheckResponse.SERVING else Health.NOT_SERVING


def is_serving(target: str, *, seconds: float = 2.0, tls: TlsFiles | None = None) -> bool:
    """Return whether the process at `host:port` says that it serves; arguments and errors as `ask`."""
    return ask(target, seconds=seconds, tls=tls) is Health.SERVING


def main() -> int:
    """Probe the first argument."""
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.stderr.write(f"`target`: got {' '.join(sys.argv[1:])!r}, want one HOST:PORT\n")
        return 2
    try:
        return 0 if is_serving(sys.argv[1], tls=TlsSettings().tls()) else 1
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
