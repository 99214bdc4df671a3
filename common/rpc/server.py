"""Servers: the same health, reflection, guard and stop for every process.

Health says NOT_SERVING until `ready()` is called, so that a load balancer or `tailorbird up` waits for a process that
really works; at a stop it says NOT_SERVING again, then running calls get their grace.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.errors import InvalidInput
from common.logs import get_logger
from common.rpc.gate import CallGate
from common.rpc.interceptors import AioGateInterceptor, GateInterceptor
from common.settings import TlsFiles

__all__ = ["AioRpcServer", "RpcServer", "Service", "serve_until_signal", "wait_for_signal"]

_log = get_logger(__name__)
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the contracts with what serves it.

    Attributes:
        descriptor: From the generated module: `x_pb2.DESCRIPTOR.services_by_name["XService"]`.
        add: From the generated module: `x_pb2_grpc.add_XServiceServicer_to_server`.
        servicer: The implementation.
    """

    descriptor: ServiceDescriptor
    add: Callable[[Any, Any], None]
    servicer: Any


def _options(*, reuse_port: bool) -> list[tuple[str, Any]]:
    return [
        # On by default in gRPC: a forgotten server on the port would answer a share of the calls.
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ]


def _credentials(tls: TlsFiles | None) -> grpc.ServerCredentials | None:
    if tls is None:
        return None
    if tls.cert_file is None or tls.key_file is None:
        raise InvalidInput(
            "`tls_key_file`: got a certificate or an authority alone, want tls_cert_file and tls_key_file"
        )
    authority = tls.ca_file.read_bytes() if tls.ca_file else None
    return grpc.ssl_server_credentials(
        [(tls.key_file.read_bytes(), tls.cert_file.read_bytes())],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def _names(services: Sequence[Service]) -> list[str]:
    return [service.descriptor.full_name for service in services]


def _taken(address: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"`listen`: got {address}, which cannot be bound ({error}), want a free HOST:PORT")


class RpcServer:
    """A sync server.

    Args:
        services: What it serves.
        gate: Guards the calls.
        address: `host:port`; port 0 picks a free one, read it back from `port`.
        max_workers: Threads, hence calls at a time; long polls occupy one each.
        tls: Certificates; None speaks plain text, for loopback and service meshes.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        gate: CallGate,
        address: str,
        max_workers: int = 32,
        tls: TlsFiles | None = None,
    ) -> None:
        self._names = _names(services)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="rpc"),
            interceptors=[GateInterceptor(gate)],
            options=_options(reuse_port=False),
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in services:
            service.add(service.servicer, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        credentials = _credentials(tls)
        try:
            self.port: int = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise _taken(address, error) from error

    def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in ("", *self._names):
            self._health.set(name, status)

    def start(self) -> None:
        """Take calls; health still says NOT_SERVING."""
        self._server.start()

    def ready(self) -> None:
        """Let health say SERVING."""
        self._set(health_pb2.HealthCheckResponse.SERVING)

    def not_ready(self) -> None:
        """Let health say NOT_SERVING while calls are still taken."""
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def stop(self, *, grace: float) -> None:
        """Take no new calls, give running ones `grace` seconds, return when all are over."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()


class AioRpcServer:
    """An aio server; arguments as for `RpcServer`, to be made inside of the event loop.

    Args:
        reuse_port: True where several worker processes listen on one port on purpose.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        gate: CallGate,
        address: str,
        tls: TlsFiles | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._names = _names(services)
        self._server = grpc.aio.server(interceptors=[AioGateInterceptor(gate)], options=_options(reuse_port=reuse_port))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs only
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in services:
            service.add(service.servicer, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        credentials = _credentials(tls)
        try:
            self.port: int = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise _taken(address, error) from error

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def start(self) -> None:
        """Take calls; health says NOT_SERVING."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()

    async def ready(self) -> None:
        """Let health say SERVING."""
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def not_ready(self) -> None:
        """Let health say NOT_SERVING while calls are still taken."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def tell(self, name: str, *, serving: bool) -> None:
        """Let health say how it stands with a part of this process, which is asked for by this name as a service."""
        status = health_pb2.HealthCheckResponse
        await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, *, grace: float) -> None:
        """Take no new calls, give running ones `grace` seconds, return when all are over."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


def serve_until_signal(server: RpcServer, *, grace: float, on_stop: Callable[[], None] | None = None) -> None:
    """Start a sync server, report it ready, and stop it at SIGTERM or SIGINT.

    Args:
        server: Bound, not started.
        grace: Seconds for running calls.
        on_stop: Called before the server stops, e.g. to wake long polls.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    server.ready()
    _log.info("serving", port=server.port)
    # A timeout lets the main thread see signals on every platform.
    while not stop.wait(1.0):
        pass
    _log.info("stopping", grace_seconds=grace)
    if on_stop is not None:
        on_stop()
    server.stop(grace=grace)
    _log.info("stopped")


async def wait_for_signal() -> None:
    """Return at SIGTERM or SIGINT; for aio processes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
