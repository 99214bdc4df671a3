"""Several processes on one port: they are one gateway to everybody, whatever happens to one of them."""

import os
import signal
from contextlib import ExitStack, contextmanager, suppress

import httpx
import psutil
import pytest

from common.testing import wait_until
from gateway.workers import StartedWorkers
from tests.gateway.conftest import response_class, running_gateway
from tests.gateway.processes import gateway_process
from tests.gateway.test_connections import is_reset
from tests.gateway.wire import RECOMMENDATIONS, connected, read_response, received, signed

WORKERS = 2
#: Connections that one of two processes gets none of once in 10^9 runs.
SPREAD = 32
#: Clients of one attack.
SLOW = 400


@pytest.fixture
def gateway(tmp_path, endpoint, rpc_keys):
    with gateway_process(
        tmp_path,
        endpoint,
        rpc_keys,
        workers=WORKERS,
        DRAIN_SECONDS="0",
        SILENT_SECONDS="3",
        HEADER_SECONDS="2",
        BODY_SECONDS="2",
        SEND_SECONDS="2",
    ) as running:
        yield running


def pids(process):
    return {child.pid for child in psutil.Process(process.pid).children()}


def listening(process):
    """Return the workers that take connections."""
    taking = set()
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it may just end
            if any(connection.status == psutil.CONN_LISTEN for connection in child.net_connections()):
                taking.add(child.pid)
    return taking


@contextmanager
def spread_connections(url, count=SPREAD):
    with ExitStack() as stack:
        yield [stack.enter_context(connected(url)) for _ in range(count)]


def served_by(process):
    """Return how many connections each worker has."""
    return {
        child.pid: sum(connection.status == psutil.CONN_ESTABLISHED for connection in child.net_connections("tcp4"))
        for child in psutil.Process(process.pid).children()
    }


def statuses(connections, request):
    for connection in connections:
        connection.sendall(request)
    return [read_response(connection).status for connection in connections]


def test_a_gateway_is_not_ready_before_all_its_workers_have_started(endpoint, rpc_keys):
    started = StartedWorkers(WORKERS)
    started.mark(0)
    with running_gateway(
        endpoint.access_keys, endpoint.targets, token=rpc_keys.token("gateway"), all_started=started.all_started
    ) as url:
        early = httpx.get(f"{url}/health")
        started.mark(1)
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 200)

    assert (early.status_code, early.json()) == (503, {"status": "STARTING"})


def test_every_worker_serves_and_sees_changes_of_the_access_keys(endpoint, gateway):
    process, url = gateway
    key = endpoint.access_keys.create("of this test")
    request = b"".join(signed(key, url, "/recommendations", RECOMMENDATIONS))
    with spread_connections(url) as connections:
        accepted = statuses(connections, request)
        per_worker = served_by(process)
        endpoint.access_keys.revoke(key.access_key_id)
        refused = statuses(connections, request)

    assert set(accepted) == {200}
    assert len(per_worker) == WORKERS
    assert all(per_worker.values())
    assert set(refused) == {403}


def test_a_worker_that_is_killed_is_started_again_while_the_other_serves(endpoint, gateway):
    process, url = gateway
    before = pids(process)
    lost = min(before)
    request = b"".join(signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS))
    with spread_connections(url) as connections:
        assert set(statuses(connections, request)) == {200}
        os.kill(lost, signal.SIGKILL)
        wait_until(lambda: len(listening(process)) == WORKERS and lost not in listening(process))
        kept = 0
        for connection in connections:
            try:
                connection.sendall(request)
                if connection.recv(1):
                    kept += 1
            except ConnectionError:
                pass

    assert 0 < kept < SPREAD
    assert pids(process) & before == before - {lost}
    with spread_connections(url) as connections:
        assert set(statuses(connections, request)) == {200}


def test_a_worker_that_hangs_is_replaced(gateway):
    process, _ = gateway
    hung = min(pids(process))
    os.kill(hung, signal.SIGSTOP)

    wait_until(lambda: len(listening(process)) == WORKERS and hung not in pids(process), seconds=60)


def test_all_workers_end_with_their_parent(gateway):
    process, _ = gateway
    workers = [psutil.Process(pid) for pid in pids(process)]
    process.kill()

    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert (len(gone), alive) == (WORKERS, [])


def test_all_workers_stop_in_order(endpoint, gateway):
    process, url = gateway
    request = b"".join(signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS))
    with spread_connections(url) as connections:
        assert set(statuses(connections, request)) == {200}
        process.send_signal(signal.SIGTERM)

        assert all(received(connection) == b"" for connection in connections)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("part", ["head", "body"])
def test_requests_that_never_end_leave_room_in_every_worker(endpoint, gateway, part):
    _, url = gateway
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with spread_connections(url, SLOW) as slow, spread_connections(url) as honest:
        for connection in slow:
            connection.sendall(b"POST /events HTTP/1.1\r\nX-Slow: " if part == "head" else head + body[:-1])

        assert set(statuses(honest, head + body)) == {200}
        assert {read_response(connection).status for connection in slow} == {408}
        assert all(received(connection) == b"" for connection in slow)


def test_clients_that_never_read_are_cut_in_every_worker(endpoint, gateway):
    made = response_class("personalize-runtime", "GetRecommendations")()
    for number in range(10_000):
        made.item_list.add(item_id=f"item-{number:0200}")
    servicer = endpoint.servicers["personalize-runtime"]
    servicer.responses["GetRecommendations"] = made
    _, url = gateway
    request = b"".join(signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS))
    with ExitStack() as stack, spread_connections(url) as honest:
        deaf = [stack.enter_context(connected(url, receive_bytes=4096)) for _ in range(SPREAD)]
        for connection in deaf:
            connection.sendall(request)
        wait_until(lambda: len(servicer.requests) == SPREAD)
        del servicer.responses["GetRecommendations"]

        assert set(statuses(honest, request)) == {200}
        for connection in deaf:
            wait_until(lambda cut=connection: is_reset(cut))


def test_clients_that_send_far_ahead_are_cut_in_every_worker(endpoint, gateway):
    _, url = gateway
    request = b"".join(signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS))
    with spread_connections(url) as hasty, spread_connections(url) as honest:
        for connection in hasty:
            connection.sendall(request * 100)

        assert all(received(connection).count(b"HTTP/1.1 200") < 100 for connection in hasty)
        assert set(statuses(honest, request)) == {200}
