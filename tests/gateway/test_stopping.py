"""What AWS clients see of a service that is stopped in order: 503, which SDKs try again, never 500."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from common.rpc import Service
from common.testing import serving, wait_until
from gateway.protocol import CONTRACTS
from tests.gateway.conftest import ADD, Answering, running_gateway

CALLS = 8


class Waiting(Answering):
    """Answers ListRecipes when the test lets it."""

    def __init__(self) -> None:
        super().__init__("personalize")
        self.let_go = threading.Event()
        answer = self.ListRecipes

        def wait(request, context):
            self.requests.append(request)
            self.let_go.wait(60)
            return answer(request, context)

        self.ListRecipes = wait


def status_of(client) -> int:
    with pytest.raises(ClientError) as caught:
        client.list_recipes()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_calls_that_a_stop_ends_are_503(endpoint, rpc_keys):
    servicer = Waiting()
    with ExitStack() as stack:
        services = [Service(CONTRACTS["personalize"], ADD["personalize"], servicer)]
        backend = stack.enter_context(serving(services, keys=rpc_keys, threads=CALLS))
        stack.callback(servicer.let_go.set)
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
