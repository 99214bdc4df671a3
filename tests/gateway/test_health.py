"""The gateway's health: the states of its backends, checked rarely."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.testing import wait_until
from gateway.backends import BACKENDS
from tests.gateway.conftest import running_gateway


class CountingHealth(health_pb2_grpc.HealthServicer):
    """A health service that counts its calls, and responds once a test lets it."""

    def __init__(self):
        self.n_checks = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def Check(self, request, context):
        with self._lock:
            self.n_checks += 1
        assert self.open.wait(60)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def counting_health():
    """Run one server that stands for all three backends."""
    servicer = CountingHealth()
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    servicer.open.set()
    server.stop(grace=1).wait()


def health_of(url):
    return httpx.get(f"{url}/health", timeout=30)


def test_health_is_good_while_all_services_are(endpoint):
    wait_until(lambda: health_of(endpoint.url).status_code == 200)

    for path in ("/health", "/ping"):
        assert httpx.get(f"{endpoint.url}{path}").json() == {
            "status": "SERVING",
            "peers": {"control_plane": "SERVING", "events_service": "SERVING", "runtime_service": "SERVING"},
        }


def test_health_names_the_service_that_is_not_ready(endpoint):
    backend = endpoint.backends["personalize-events"].server
    backend.not_ready()
    try:
        wait_until(lambda: health_of(endpoint.url).status_code == 503)
        states = health_of(endpoint.url).json()["peers"]
    finally:
        backend.ready()

    assert states == {
        "control_plane": "SERVING", "events_service": "NOT_SERVING", "runtime_service": "SERVING",
    }  # fmt: skip
    wait_until(lambda: health_of(endpoint.url).status_code == 200)


def test_health_reports_that_no_backend_can_be_reached(endpoint, rpc_keys, unused_target):
    targets = dict.fromkeys(BACKENDS.values(), unused_target)
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
        response = health_of(url)

    assert response.status_code == 503
    assert set(response.json()["peers"].values()) == {"UNAVAILABLE"}


def test_many_callers_share_one_check_of_the_backends(endpoint, rpc_keys, counting_health):
    servicer, target = counting_health
    targets = dict.fromkeys(BACKENDS.values(), target)
    with ExitStack() as stack:
        url = stack.enter_context(running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")))
        pool = stack.enter_context(ThreadPoolExecutor(30))
        responses = [pool.submit(health_of, url) for _ in range(30)]
        wait_until(lambda: servicer.n_checks == len(BACKENDS))
        servicer.open.set()

        assert {response.result().status_code for response in responses} == {200}
    # Some of the thirty may have come so late that the result had expired.
    assert servicer.n_checks <= 10 * len(BACKENDS)


def test_health_does_not_wait_for_a_backend_that_does_not_respond(endpoint, rpc_keys, counting_health):
    _, target = counting_health
    targets = dict.fromkeys(BACKENDS.values(), target)
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
        response = health_of(url)

    assert response.status_code == 503
    assert set(response.json()["peers"].values()) == {"DEADLINE_EXCEEDED"}
