"""What callers get, and what is logged, of nonsense that they send and of errors in the middle of streams."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import InvalidInput, Unauthenticated, invalid
from common.rpc import Service, from_rpc_error
from common.testing import serving
from tests.common.rpc.calling import CHECK, METHOD, SERVING, above_info, ask, bearer, connected, refused

#: A service that any token may call, and that no server of ours has.
STREAMS = "grpc.reflection.v1.ServerReflection"


def test_unknown_service_is_an_error_without_a_trace(running, written):
    async def scenario():
        async with connected(running) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest(service="x"), timeout=60)
            watched = await stub.Watch(health_pb2.HealthCheckRequest(service="x"), timeout=60).read()
            return caught.value.code(), watched.status

    codes = asyncio.run(scenario())

    assert codes == (grpc.StatusCode.NOT_FOUND, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
    assert above_info(written) == []


@pytest.mark.parametrize("method", [METHOD, CHECK])
def test_bytes_that_are_no_message_are_the_callers_mistake(running, written, method):
    async def scenario():
        async with connected(running) as channel:
            call = channel.unary_unary(method)
            return [await refused(call(b"\xff\xff\xff", metadata=bearer(running), timeout=60)) for _ in range(200)]

    errors = asyncio.run(scenario())

    assert {type(error) for error in errors} == {InvalidInput}
    assert above_info(written) == []
    assert 0 < len(written()) < 200


def test_bytes_that_are_no_message_are_not_parsed_without_a_token(running):
    async def scenario():
        async with connected(running) as channel:
            return await refused(channel.unary_unary(METHOD)(b"\xff\xff\xff", timeout=60))

    assert type(asyncio.run(scenario())) is Unauthenticated


def test_call_without_a_message_is_the_callers_mistake(running):
    async def scenario():
        async with connected(running) as channel:
            call = channel.stream_unary(METHOD)(metadata=bearer(running), timeout=60)
            await call.done_writing()
            return await refused(call)

    assert type(asyncio.run(scenario())) is InvalidInput


def test_message_beyond_the_largest_size_is_resource_exhausted(running):
    async def scenario():
        async with connected(running, max_send_message_length=-1) as channel:
            call = channel.unary_unary(METHOD)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\x0a" * (5 << 20), metadata=bearer(running), timeout=60)
            return caught.value

    error = asyncio.run(scenario())

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert from_rpc_error(error).code == "RESOURCE_EXHAUSTED"


def test_log_line_of_a_rejection_names_the_field_and_quotes_nothing(running, written):
    async def scenario():
        async with connected(running) as channel:
            return await refused(ask(channel, running, "bad"))

    error = asyncio.run(scenario())

    assert "MARKED" in error.message
    assert "MARKED" not in str(written())
    assert [line["fields"] for line in written()] == [["trackingId"]]


class Streaming(health_pb2_grpc.HealthServicer):
    """Streams in both forms that gRPC knows, and aborts as handlers may; health's contract, under another name."""

    async def Check(self, request, context):
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")

    async def Watch(self, request, context):
        if request.service == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "in the middle")
        await context.write(health_pb2.HealthCheckResponse(status=SERVING))
        if request.service == "raise":
            raise invalid("service", got="raise", want="another")


class Generating(health_pb2_grpc.HealthServicer):
    """The other form."""

    async def Watch(self, request, context):
        yield health_pb2.HealthCheckResponse(status=SERVING)
        if request.service == "raise":
            raise invalid("service", got="raise", want="another")


@contextlib.contextmanager
def replaced_health(servicer):
    """Serve a servicer of the one contract with a stream, in place of our own."""

    def add(made, server):
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(
                made.Check, health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                made.Watch, health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(STREAMS, handlers),))

    descriptor = health_pb2.DESCRIPTOR.services_by_name["Health"]
    with serving([Service(descriptor, add, servicer)]) as running:
        yield running


@pytest.mark.parametrize("servicer", [Streaming(), Generating()])
def test_streams_of_both_forms_are_served_and_their_errors_mapped(servicer):
    async def scenario(running):
        async with connected(running) as channel:
            watch = channel.unary_stream(
                f"/{STREAMS}/Watch",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            good = [item.status async for item in watch(health_pb2.HealthCheckRequest(), metadata=bearer(running))]
            bad = watch(health_pb2.HealthCheckRequest(service="raise"), metadata=bearer(running))
            await bad.read()
            return good, await refused(bad.read())

    with replaced_health(servicer) as running:
        good, error = asyncio.run(scenario(running))
    assert (good, type(error)) == ([SERVING], InvalidInput)


@pytest.mark.parametrize(
    ("method", "service", "code"),
    [("Check", "", grpc.StatusCode.FAILED_PRECONDITION), ("Watch", "abort", grpc.StatusCode.ABORTED)],
)
def test_status_that_a_handler_aborts_with_reaches_the_caller(written, method, service, code):
    async def scenario(running):
        async with connected(running) as channel:
            call = channel.unary_stream(f"/{STREAMS}/{method}")
            request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request, metadata=[*bearer(running), ("x-request-id", "r-1")]).read()
            return caught.value

    with replaced_health(Streaming()) as running:
        error = asyncio.run(scenario(running))
    assert error.code() is code
    assert ("x-request-id", "r-1") in tuple(error.trailing_metadata())
    assert above_info(written) == []
