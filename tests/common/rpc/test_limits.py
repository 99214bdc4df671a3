"""What a server bears: callers who send nothing, read nothing, come in hundreds, or only look whether it is well."""

from __future__ import annotations

import asyncio
import threading

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.errors import DeadlineExceeded, Throttled, Unauthenticated
from common.settings import CallLimits
from common.testing import serving
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest, GetRecommendationsResponse
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceServicer, RuntimeServiceStub
from runtime_service.server import runtime_service
from tests.common.rpc.calling import (
    CHECK,
    MANY,
    METHOD,
    NOT_SERVING,
    RECOMMEND,
    REFLECTION,
    SERVING,
    WATCH,
    ask,
    bearer,
    bounded,
    connected,
    refused,
    silent,
    tracker_service,
)


@pytest.mark.parametrize("method", [METHOD, REFLECTION])
def test_callers_without_a_token_are_refused_before_they_send_anything(running, method):
    async def scenario():
        async with connected(running) as channel:
            return [await refused(silent(channel, method).read()) for _ in range(20)]

    assert {type(error) for error in asyncio.run(scenario())} == {Unauthenticated}


@pytest.mark.parametrize(
    ("method", "role"), [(METHOD, "events"), (METHOD, None), (REFLECTION, "client"), (WATCH, None), (CHECK, None)]
)
def test_hundreds_of_calls_without_a_message_delay_no_other(running, method, role):
    async def scenario():
        async with connected(running) as channel, connected(running) as honest:
            metadata = bearer(running, role) if role else []
            calls = [silent(channel, method, metadata=metadata) for _ in range(MANY)]
            await asyncio.gather(*(call.wait_for_connection() for call in calls), return_exceptions=True)
            return [await ask(honest, running) for _ in range(5)]

    assert asyncio.run(scenario()) == ["here"] * 5


def test_hundreds_of_watches_delay_no_other_and_all_get_the_change(running):
    async def scenario():
        async with connected(running) as channel, connected(running) as honest:
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=120) for _ in range(MANY)]
            first = {(await watch.read()).status for watch in watches}
            answer = await ask(honest, running)
            running.server.not_ready()
            return first, answer, {(await watch.read()).status for watch in watches}

    assert asyncio.run(scenario()) == ({SERVING}, "here", {NOT_SERVING})


def test_caller_who_sends_nothing_has_a_limited_time(trackers):
    async def scenario(running):
        async with connected(running) as channel:
            return await refused(silent(channel, METHOD, metadata=bearer(running)).read())

    with bounded(trackers, receive_seconds=0.1) as running:
        assert type(asyncio.run(scenario(running))) is DeadlineExceeded


@pytest.mark.parametrize("given", [None, 3600])
def test_stream_of_reflection_has_a_limited_time(trackers, given):
    async def scenario(running):
        async with connected(running) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(metadata=bearer(running), timeout=given)
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            listed = await call.read()
            return listed.WhichOneof("message_response"), await refused(call.read())

    with bounded(trackers, stream_seconds=0.1) as running:
        listed, error = asyncio.run(scenario(running))
    assert (listed, type(error)) == ("list_services_response", DeadlineExceeded)


class WaitingRuntime(RuntimeServiceServicer):
    """Recommends nothing until a test lets it; its methods have the shortest deadline of all."""

    def __init__(self):
        self.let_go = threading.Event()

    def GetRecommendations(self, request, context):
        self.let_go.wait(60)
        return GetRecommendationsResponse()


def test_caller_without_a_deadline_gets_that_of_the_method():
    async def scenario(running):
        async with connected(running) as channel:
            stub = RuntimeServiceStub(channel)
            return await refused(
                stub.GetRecommendations(GetRecommendationsRequest(), metadata=bearer(running, "client"))
            )

    servicer = WaitingRuntime()
    with serving([runtime_service(servicer)]) as running:
        try:
            assert type(asyncio.run(scenario(running))) is DeadlineExceeded
        finally:
            servicer.let_go.set()


def test_one_call_too_many_is_refused_at_once(trackers):
    async def scenario(running):
        async with connected(running) as channel, connected(running) as other:
            calls = [silent(channel, METHOD, metadata=bearer(running)) for _ in range(8)]
            for call in calls:
                await call.wait_for_connection()
            return await refused(ask(other, running))

    with bounded(trackers, max_calls=8, receive_seconds=60) as running:
        assert type(asyncio.run(scenario(running))) is Throttled


def test_processes_are_answered_when_clients_have_taken_all_places(trackers):
    async def scenario(running):
        async with connected(running) as channel, connected(running) as other:
            client = bearer(running, "client")
            calls = [silent(channel, RECOMMEND, metadata=client) for _ in range(8)]
            for call in calls:
                await call.wait_for_connection()
            rejection = await refused(other.unary_unary(RECOMMEND)(b"", metadata=client, timeout=60))
            return type(rejection), await ask(other, running)

    services = [tracker_service(trackers), runtime_service(RuntimeServiceServicer())]
    with serving(services, limits=CallLimits(max_calls=8, receive_seconds=60)) as running:
        assert asyncio.run(scenario(running)) == (Throttled, "here")


def test_probes_without_a_message_are_ended_for_those_that_send(trackers):
    async def scenario(running):
        async with connected(running) as channel, connected(running) as honest:
            calls = [silent(channel, CHECK) for _ in range(MANY)]
            stub = health_pb2_grpc.HealthStub(honest)
            states = [(await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)).status for _ in range(5)]
            # Their order of arrival is not known.
            pending = [asyncio.ensure_future(refused(call.read())) for call in calls]
            ended, others = await asyncio.wait(pending, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            return {type(task.result()) for task in ended}, states

    with bounded(trackers, receive_seconds=600) as running:
        errors, states = asyncio.run(scenario(running))
    assert (errors, states) == ({Throttled}, [SERVING] * 5)


def test_one_watch_too_many_is_unimplemented(trackers):
    async def scenario(running):
        async with connected(running) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=120) for _ in range(4)]
            states = [(await watch.read()).status for watch in watches]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Watch(health_pb2.HealthCheckRequest(), timeout=120).read()
            checked = await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
            return states, caught.value.code(), checked.status

    with bounded(trackers, max_watches=4) as running:
        outcome = asyncio.run(scenario(running))
    assert outcome == ([SERVING] * 4, grpc.StatusCode.UNIMPLEMENTED, SERVING)
