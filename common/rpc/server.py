"""gRPC servers: the same health, reflection, call policy and stop for every process.

Health is NOT_SERVING until `ready()` is called, so that a load balancer or `tailorbird up` waits for a process that
works; at a stop it is NOT_SERVING again, then running calls get their grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from common.auth import TokenVerifier
from common.errors import InvalidInput
from common.logs import get_logger
from common.process.lifecycle import wait_for_signal
from common.rpc.call_policy import CallPolicy
from common.rpc.certificates import server_credentials
from common.rpc.handlers import CallHandlers
from common.rpc.health import Health
from common.rpc.limits import Calls
from common.rpc.waits import CallWaits, counters_of_newest_server
from common.settings import CallLimits, ServerSettings, TlsFiles
from common.telemetry import NO_CALLS, CallObserver

__all__ = ["AioRpcServer", "Service", "make_server", "serve_until_signal"]

_log = get_logger(__name__)
#: gRPC's default; no request is larger.
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
_MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
_PING_TIMEOUT_SECONDS: Final = 10.0
#: Calls without a token whose messages are being received: each takes several times the largest size meanwhile.
_MAX_RECEIVING_PROBES: Final = 32
#: Longer than the longest call, a long poll of 60 s with a deadline of 75 s.
_AGE_GRACE_SECONDS: Final = 90.0
_HANDSHAKE_SECONDS: Final = 10.0
#: Calls that gRPC may hold until they are handed over: each takes up to 64 KiB with what has arrived of its message.
_MAX_WAITING_CALLS: Final = 5000
#: How long new calls are rejected at most before connections get GOAWAY.
_REJECT_SECONDS: Final = 2.0
#: Time for sending the responses that say that the server stops.
_LAST_RESPONSES_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the contracts with its servicer.

    Attributes:
        descriptor: From the generated module: `x_pb2.DESCRIPTOR.services_by_name["XService"]`.
        add: From the generated module: `x_pb2_grpc.add_XServiceServicer_to_server`.
        servicer: The implementation.
    """

    descriptor: ServiceDescriptor
    add: Callable[[Any, Any], None]
    servicer: Any


def _options(limits: CallLimits, *, reuse_port: bool) -> list[tuple[str, Any]]:
    return [
        # On by default in gRPC: a forgotten server on the port would get a share of the calls.
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
        ("grpc.max_send_message_length", _MAX_RESPONSE_BYTES),
        # With bandwidth probes, complete messages are received before the call is authenticated.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_concurrent_streams", limits.max_calls),
        # Counters by which it is known how long calls wait; without the history of events that comes with them.
        ("grpc.enable_channelz", 1),
        ("grpc.max_channel_trace_event_memory_per_node", 0),
        # Beyond 1000 that wait, gRPC would end calls as CANCELLED, at random: here they are refused in order.
        ("grpc.server.max_pending_requests", _MAX_WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_WAITING_CALLS),
        ("grpc.server_handshake_timeout_ms", _millis(_HANDSHAKE_SECONDS)),
        # A client that vanished is detected, with and without calls; clients may ping as often.
        ("grpc.keepalive_time_ms", _millis(limits.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _millis(_PING_TIMEOUT_SECONDS)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_connection_idle_ms", _millis(limits.max_idle_seconds)),
        ("grpc.max_connection_age_ms", _millis(limits.max_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _millis(_AGE_GRACE_SECONDS)),
    ]


def _millis(seconds: float) -> int:
    return int(seconds * 1000)


def _taken(address: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"`listen`: got {address}, which cannot be bound ({error}), want a free HOST:PORT")


class AioRpcServer:
    """A gRPC server; constructed inside the event loop.

    Args:
        services: Served; methods that are plain functions run in threads.
        policy: Authenticates and logs the calls.
        address: `host:port`; port 0 picks a free one, read it back from `port`.
        tls: Certificates; None speaks plain text, for loopback and service meshes.
        reuse_port: True where several worker processes listen on one port on purpose.
        threads: Size of the pool for blocking work; None leaves the loop's own executor as it is.
        limits: Of calls and connections.
        observer: Is told how calls begin and end.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        policy: CallPolicy,
        address: str,
        tls: TlsFiles | None = None,
        reuse_port: bool = False,
        threads: int | None = None,
        limits: CallLimits | None = None,
        observer: CallObserver = NO_CALLS,
    ) -> None:
        bounds = limits or CallLimits()
        names = [service.descriptor.full_name for service in services]
        self._waits = CallWaits(limit_seconds=bounds.max_wait_seconds)
        self._calls = Calls(bounds, self._waits, sheds=True, max_calls=bounds.max_calls)
        # Trainers' heartbeats and the questions of runtimes are not refused when there are too many clients, and their
        # long polls take no client's place.
        self._internal = Calls(bounds, self._waits, max_calls=bounds.max_calls)
        self._probes = Calls(bounds, self._waits, max_receiving=_MAX_RECEIVING_PROBES)
        self._threads = threads
        self._observer = observer
        self._tasks: list[asyncio.Task[None]] = []
        self._health = Health(names)
        handlers = CallHandlers(
            policy,
            calls=self._calls,
            internal=self._internal,
            probes=self._probes,
            waits=self._waits,
            observer=observer,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, handlers)
        for service in services:
            service.add(service.servicer, handlers)
        served = [*names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflecting = reflection.aio.ReflectionServicer(served)  # type: ignore[attr-defined]  # not in the stubs
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflecting, handlers)
        self._server = grpc.aio.server(handlers=[handlers], options=_options(bounds, reuse_port=reuse_port))
        self._read_counters = counters_of_newest_server()
        credentials = None if tls is None else server_credentials(tls)
        try:
            self.port: int = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise _taken(address, error) from error

    async def start(self) -> None:
        """Start to take calls; health is NOT_SERVING."""
        if self._threads is not None:
            executor = ThreadPoolExecutor(self._threads, thread_name_prefix="rpc")
            asyncio.get_running_loop().set_default_executor(executor)
        expiring = [calls.expire() for calls in (self._calls, self._internal, self._probes)]
        endless = (*expiring, self._waits.follow(self._read_counters, self._observer.waited))
        self._tasks = [asyncio.create_task(work) for work in endless]
        await self._server.start()

    def ready(self) -> None:
        """Set health to SERVING; from any thread."""
        self._health.set(serving=True)

    def not_ready(self) -> None:
        """Set health to NOT_SERVING while calls are still taken; from any thread."""
        self._health.set(serving=False)

    def set_part(self, name: str, *, serving: bool) -> None:
        """Set the health of a part of this process, which clients check as a service of this name."""
        self._health.set_part(name, serving=serving)

    async def stop(self, *, grace: float, on_drained: Callable[[], None] = lambda: None) -> None:
        """Stop to take calls, give running ones `grace` seconds, return when all are over.

        First the health becomes NOT_SERVING, and calls are served for the limits' `drain_seconds`, in which those who
        check the health go elsewhere. Then new calls get UNAVAILABLE, for a moment, before each connection gets
        GOAWAY, on which clients connect to another process. A call that is not over in time gets UNAVAILABLE, and is
        never just cut off.

        Args:
            grace: Seconds for running calls, from the end of the drain.
            on_drained: Called at the end of the drain.
        """
        self._health.stop()
        await asyncio.sleep(self._calls.limits.drain_seconds)
        on_drained()
        ends = asyncio.get_running_loop().time() + grace
        # At shutdown gRPC ends calls that it has not handed over yet as CANCELLED: wait until there are none.
        seconds = min(_REJECT_SECONDS, grace / 2)
        await asyncio.gather(self._calls.close(seconds=seconds), self._internal.close(seconds=seconds))
        left = max(0.0, ends - asyncio.get_running_loop().time())
        stopping = asyncio.create_task(self._server.stop(left + _LAST_RESPONSES_SECONDS))
        _, late = await asyncio.wait([stopping], timeout=left)
        if late:
            for calls in (self._calls, self._internal, self._probes):
                calls.end_all()
        await stopping
        for task in self._tasks:
            task.cancel()


def make_server(
    services: Sequence[Service],
    settings: ServerSettings,
    *,
    address: str,
    threads: int | None = None,
    reuse_port: bool = False,
    observer: CallObserver = NO_CALLS,
) -> AioRpcServer:
    """Create a process's server from its settings; the other arguments are those of `AioRpcServer`."""
    verifier = TokenVerifier.of_file(settings.public_key_file)
    policy = CallPolicy(verifier, account=settings.account_id, region=settings.region, audit_puts=settings.audit_puts)
    return AioRpcServer(
        services,
        policy=policy,
        address=address,
        tls=settings.tls(),
        reuse_port=reuse_port,
        threads=threads,
        limits=settings.call_limits(),
        observer=observer,
    )


async def serve_until_signal(server: AioRpcServer, *, grace: float, on_stop: Callable[[], None]) -> None:
    """Start a server, report it ready, and stop it at SIGTERM or SIGINT.

    Args:
        server: Bound, not started.
        grace: Seconds for running calls.
        on_stop: Called when the drain is over, e.g. to wake long polls: until then they wait as ever.
    """
    await server.start()
    server.ready()
    _log.info("serving", port=server.port)
    await wait_for_signal()
    _log.info("stopping", grace_seconds=grace)
    await server.stop(grace=grace, on_drained=on_stop)
    _log.info("stopped")
