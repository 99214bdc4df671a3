"""The gateway's health: whom it names, and how little it costs the services behind."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.testing import wait_until
from gateway.backends import PEERS
from tests.gateway.conftest import running_gateway


class CountingHealth(health_pb2_grpc.HealthServicer):
    """A service's health that counts who asks, and answers when it may."""

    def __init__(self):
        self.asked = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def Check(self, request, context):
        with self._lock:
            self.asked += 1
        assert self.open.wait(60)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def counting():
    """Run one server that plays all three services."""
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
        peers = health_of(endpoint.url).json()["peers"]
    finally:
        backend.ready()

    assert peers == {
        "control_plane": "SERVING", "events_service": "NOT_SERVING", "runtime_service": "SERVING",
    }  # fmt: skip
    wait_until(lambda: health_of(endpoint.url).status_code == 200)


def test_health_tells_that_no_service_can_be_reached(endpoint, rpc_keys, unused_target):
    targets = dict.fromkeys(PEERS.values(), unused_target)
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
        answer = health_of(url)

    assert answer.status_code == 503
    assert set(answer.json()["peers"].values()) == {"UNAVAILABLE"}


def test_however_many_ask_the_services_are_asked_once_at_a_time(endpoint, rpc_keys, counting):
    servicer, target = counting
    targets = dict.fromkeys(PEERS.values(), target)
    with ExitStack() as stack:
        url = stack.enter_context(running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")))
        pool = stack.enter_context(ThreadPoolExecutor(30))
        answers = [pool.submit(health_of, url) for _ in range(30)]
        wait_until(lambda: servicer.asked == len(PEERS))
        servicer.open.set()

        assert {answer.result().status_code for answer in answers} == {200}
    # Some of the thirty may have come so late that an answer was old.
    assert servicer.asked <= 10 * len(PEERS)


def test_whoever_asks_is_not_kept_waiting_by_a_service_that_does_not_answer(endpoint, rpc_keys, counting):
    _, target = counting
    targets = dict.fromkeys(PEERS.values(), target)
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
        answer = health_of(url)

    assert answer.status_code == 503
    assert set(answer.json()["peers"].values()) == {"DEADLINE_EXCEEDED"}
