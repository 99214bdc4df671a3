"""An orderly stop: health reports it first, running calls finish, no call fails."""

import json
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from common.rpc import Service
from common.testing import serving, wait_until
from gateway.protocol import CONTRACTS
from tests.gateway.balancer import Balancer
from tests.gateway.conftest import ADD, RecordingServicer, response_class, running_gateway
from tests.gateway.processes import gateway_process
from tests.gateway.wire import RECOMMENDATIONS, connected, read_response, received, signed

#: Calls that are running when a backend stops.
CALLS = 8


def test_health_reports_a_stop_while_calls_are_still_served(tmp_path, endpoint, rpc_keys):
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="3600") as (process, url):
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
        with connected(url) as kept:
            kept.sendall(head + body)
            assert read_response(kept).status == 200
            process.send_signal(signal.SIGTERM)

            wait_until(lambda: httpx.get(f"{url}/ping").json() == {"status": "STOPPING"})
            assert httpx.get(f"{url}/health").status_code == 503
            kept.sendall(head + body)
            response = read_response(kept)
            assert (response.status, response.headers["connection"]) == (200, "close")
            assert received(kept) == b""


def test_running_calls_finish_before_a_gateway_ends(tmp_path, endpoint, rpc_keys):
    may_respond = threading.Event()

    def wait():
        assert may_respond.wait(60)
        return response_class("personalize-runtime", "GetRecommendations")()

    endpoint.servicers["personalize-runtime"].responses["GetRecommendations"] = wait
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="0") as (process, url):
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
        with connected(url) as busy, connected(url) as idle:
            busy.sendall(head + body)
            wait_until(lambda: endpoint.servicers["personalize-runtime"].requests)
            process.send_signal(signal.SIGTERM)
            assert received(idle) == b""  # so the stop has begun
            may_respond.set()

            assert read_response(busy).status == 200
            assert received(busy) == b""
        assert process.wait(timeout=30) == 0


def test_a_call_that_outlasts_the_grace_gets_503(tmp_path, endpoint, rpc_keys):
    may_respond = threading.Event()
    endpoint.servicers["personalize"].responses["ListRecipes"] = lambda: may_respond.wait(60) and None
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="0", GRACE_SECONDS="1") as (process, url):
        head, body = signed(endpoint.key, url, "/", b"{}", target="AmazonPersonalize.ListRecipes")
        with connected(url) as busy:
            busy.sendall(head + body)
            wait_until(lambda: endpoint.servicers["personalize"].requests)
            process.send_signal(signal.SIGTERM)
            response = read_response(busy)
        may_respond.set()
        assert process.wait(timeout=30) == 0

    assert response.status == 503
    assert json.loads(response.body)["__type"] == "ServiceUnavailableException"


def test_behind_a_proxy_with_two_gateways_nobody_sees_one_stop(tmp_path, endpoint, rpc_keys):
    responses = []
    enough = threading.Event()
    with ExitStack() as stack:
        run = lambda: stack.enter_context(gateway_process(tmp_path, endpoint, rpc_keys, workers=2, DRAIN_SECONDS="4"))  # noqa: E731 - said twice
        (first, first_url), (_, second_url) = run(), run()
        balancer = Balancer([first_url, second_url])
        url = stack.enter_context(balancer.running())
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)

        def call():
            with connected(url) as connection:
                while not enough.is_set():
                    connection.sendall(head + body)
                    response = read_response(connection)
                    responses.append((response.status, response.body[:100]))

        pool = stack.enter_context(ThreadPoolExecutor(4))
        try:
            callers = [pool.submit(call) for _ in range(4)]
            wait_until(lambda: len(responses) > 50)
            first.send_signal(signal.SIGTERM)
            wait_until(lambda: first.poll() is not None)
            after = len(responses)
            wait_until(lambda: len(responses) > after + 50)
        finally:
            enough.set()
        for caller in callers:
            caller.result(timeout=30)

        assert first.returncode == 0
        assert balancer.healthy() == [second_url]
    assert {status for status, _ in responses} == {200}, [item for item in responses if item[0] != 200][:3]


def test_a_gateway_raises_its_limit_of_open_files_to_what_its_connections_need(tmp_path, endpoint, rpc_keys):
    with gateway_process(tmp_path, endpoint, rpc_keys, files=256, DRAIN_SECONDS="0") as (process, url):
        (worker,) = psutil.Process(process.pid).children()
        limits = Path(f"/proc/{worker.pid}/limits")
        if not limits.exists():
            pytest.skip("needs /proc")
        (soft,) = re.findall(r"^Max open files\s+(\d+)", limits.read_text(), re.MULTILINE)
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(connected(url))
            head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
            honest = stack.enter_context(connected(url))
            honest.sendall(head + body)

            assert read_response(honest).status == 200

    assert int(soft) >= 2000


class BlockingServicer(RecordingServicer):
    """Responds to ListRecipes once the test lets it."""

    def __init__(self) -> None:
        super().__init__("personalize")
        self.may_respond = threading.Event()
        respond = self.ListRecipes

        def wait(request, context):
            self.requests.append(request)
            self.may_respond.wait(60)
            return respond(request, context)

        self.ListRecipes = wait


def status_of(client) -> int:
    with pytest.raises(ClientError) as caught:
        client.list_recipes()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_calls_that_a_stopping_backend_ends_get_503(endpoint, rpc_keys):
    servicer = BlockingServicer()
    with ExitStack() as stack:
        services = [Service(CONTRACTS["personalize"], ADD["personalize"], servicer)]
        backend = stack.enter_context(serving(services, keys=rpc_keys, threads=CALLS))
        stack.callback(servicer.may_respond.set)
        targets = {**endpoint.targets, "control_plane": backend.target}
        url = stack.enter_context(running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")))
        client = boto3.session.Session().client(
            "personalize",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id=endpoint.key.access_key_id,
            aws_secret_access_key=endpoint.key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=CALLS, read_timeout=60),
        )
        stack.callback(client.close)
        threads = stack.enter_context(ThreadPoolExecutor(CALLS))
        calls = [threads.submit(status_of, client) for _ in range(CALLS)]
        wait_until(lambda: len(servicer.requests) == CALLS)

        backend.stop(grace=0.2)

        assert {call.result(60) for call in calls} == {503}
