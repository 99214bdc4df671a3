"""A real gateway on a free port before three real gRPC servers that record their requests."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import boto3
import pytest
import uvloop
from botocore.config import Config
from google.protobuf.message_factory import GetMessageClass

from common.access_keys import AccessKey, AccessKeys
from common.auth import Caller, current_caller
from common.clock import SystemClock
from common.rpc import Service
from common.settings import TlsFiles
from common.testing import Keys, Serving, make_keys, serving, wait_until
from gateway.admission import CallLimits
from gateway.auth import SignatureVerifier
from gateway.backends import BACKENDS, BackendClients
from gateway.connections import ConnectionLimits, Stop
from gateway.http import HttpServer
from gateway.protocol import CONTRACTS, load_operations
from gateway.server import create_app
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import add_ControlPlaneServiceServicer_to_server
from protos.tailorbird.events.v1.events_service_pb2_grpc import add_EventsServiceServicer_to_server
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import add_RuntimeServiceServicer_to_server

ADD = {
    "personalize": add_ControlPlaneServiceServicer_to_server,
    "personalize-events": add_EventsServiceServicer_to_server,
    "personalize-runtime": add_RuntimeServiceServicer_to_server,
}
MAX_BODY_BYTES = 256 * 1024


def response_class(service: str, operation: str) -> Any:
    """Return the class of an rpc's response."""
    return GetMessageClass(CONTRACTS[service].methods_by_name[operation].output_type)


class RecordingServicer:
    """Serves every rpc of a contract with what a test has set: a message, an error, or a function that makes one."""

    def __init__(self, service: str) -> None:
        self.requests: list[Any] = []
        self.request_ids: list[str] = []
        self.callers: list[Caller] = []
        self.responses: dict[str, Any] = {}
        for method in CONTRACTS[service].methods:
            setattr(self, method.name, self._handler(method))

    def _handler(self, method):
        empty: Any = GetMessageClass(method.output_type)

        def handle(request, context):
            self.requests.append(request)
            self.request_ids.append(dict(context.invocation_metadata()).get("x-request-id", ""))
            self.callers.append(current_caller())
            response = self.responses.get(method.name)
            if callable(response):
                response = response()
            if isinstance(response, Exception):
                raise response
            return response if response is not None else empty()

        return handle

    def clear(self) -> None:
        self.requests.clear()
        self.request_ids.clear()
        self.callers.clear()
        self.responses.clear()


@dataclass
class Endpoint:
    """The running gateway with its backends, keys and clients."""

    url: str
    access_keys: AccessKeys
    key: AccessKey
    servicers: dict[str, RecordingServicer]
    backends: dict[str, Serving]
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> dict[str, str]:
        """Addresses of the backends, by the processes' names."""
        return {BACKENDS[service]: backend.target for service, backend in self.backends.items()}

    def client(
        self, service: str, *, key: AccessKey | None = None, endpoint_url: str | None = None, **options: Any
    ) -> Any:
        """Return a boto3 client that does not try again."""
        if key is None and not options and service in self.clients:
            return self.clients[service]
        used = key or self.key
        made = boto3.session.Session().client(
            service,
            endpoint_url=endpoint_url or self.url,
            region_name="eu-west-1",
            aws_access_key_id=used.access_key_id,
            aws_secret_access_key=used.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60, connect_timeout=60, **options),
        )
        if key is None and not options:
            self.clients[service] = made
        return made


@contextmanager
def running_gateway(
    access_keys: AccessKeys,
    targets: dict[str, str],
    *,
    token: str,
    tls: TlsFiles | None = None,
    calls: CallLimits | None = None,
    connections: ConnectionLimits | None = None,
    allowed_origins: tuple[str, ...] = (),
    all_started: Callable[[], bool] = lambda: True,
) -> Iterator[str]:
    """Run a gateway in a thread of its own and give its address."""
    operations = load_operations()
    stop = Stop(grace_seconds=1.0)
    app = create_app(
        operations,
        verifier=SignatureVerifier(access_keys, clock=SystemClock(), tolerance=timedelta(minutes=5)),
        connect=lambda: BackendClients(targets, operations=operations, token=token),
        limits=calls or CallLimits(max_body_bytes=MAX_BODY_BYTES),
        stop=stop,
        all_started=all_started,
        allowed_origins=allowed_origins,
    )
    server = HttpServer(
        app,
        address="127.0.0.1:0",
        limits=connections or ConnectionLimits(),
        stop=stop,
        tls=tls,
    )

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.run())

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join(timeout=60)
    assert not thread.is_alive()


@pytest.fixture(scope="package")
def rpc_keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="package")
def shared_endpoint(tmp_path_factory, rpc_keys) -> Iterator[Endpoint]:
    servicers = {service: RecordingServicer(service) for service in CONTRACTS}
    access_keys = AccessKeys(tmp_path_factory.mktemp("gateway") / "access_keys.json")
    key = access_keys.create("tests")
    with ExitStack() as stack:
        backends = {
            service: stack.enter_context(
                serving([Service(CONTRACTS[service], ADD[service], servicers[service])], keys=rpc_keys)
            )
            for service in CONTRACTS
        }
        targets = {BACKENDS[service]: backend.target for service, backend in backends.items()}
        url = stack.enter_context(running_gateway(access_keys, targets, token=rpc_keys.token("gateway")))
        endpoint = Endpoint(url, access_keys, key, servicers, backends)
        yield endpoint
        for client in endpoint.clients.values():
            client.close()


@pytest.fixture
def endpoint(shared_endpoint) -> Endpoint:
    for servicer in shared_endpoint.servicers.values():
        servicer.clear()
    return shared_endpoint


@pytest.fixture
def unused_target() -> Iterator[str]:
    """Give an address that is taken, so that nobody else gets it, and where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
