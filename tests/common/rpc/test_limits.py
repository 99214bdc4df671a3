"""What a server bears: callers who send nothing, read nothing, send nonsense, or only look whether it is well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from common.errors import DeadlineExceeded, InvalidInput, Throttled, Unauthenticated, Unavailable, invalid
from common.rpc import Service, channel, from_rpc_error
from common.settings import CallLimits
from common.testing import make_keys, serving, wait_until
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest, GetRecommendationsResponse
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceServicer, RuntimeServiceStub
from runtime_service.server import runtime_service

METHOD = "/tailorbird.internal.v1.TrackerService/ResolveEventTracker"
RECOMMEND = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#: A service that any token may call, and that no server of ours has.
STREAMS = "grpc.reflection.v1.ServerReflection"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
#: More than there are threads in any of our servers.
MANY = 300


class Trackers(trackers_pb2_grpc.TrackerServiceServicer):
    """Answers with its name; waits for the test where the id says so."""

    def __init__(self, name="here"):
        self.name = name
        self.begun = 0
        self.let_go = threading.Event()

    def ResolveEventTracker(self, request, context):
        if request.tracking_id == "wait":
            self.begun += 1
            self.let_go.wait(60)
        if request.tracking_id == "bad":
            raise invalid("trackingId", got="MARKED", want="another")
        return ResolveEventTrackerResponse(event_tracker_arn=self.name)


def tracker_service(servicer):
    return Service(
        trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
        trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
        servicer,
    )


@pytest.fixture
def trackers():
    made = Trackers()
    yield made
    made.let_go.set()


@contextlib.contextmanager
def bounded(trackers, **limits):
    with serving([tracker_service(trackers)], threads=4, limits=CallLimits(**limits)) as running:
        yield running
        trackers.let_go.set()


@pytest.fixture
def running(trackers):
    with bounded(trackers) as made:
        yield made


def bearer(running, role="events"):
    return [("authorization", f"Bearer {running.keys.token(role)}")]


@contextlib.asynccontextmanager
async def connected(running, **options):
    """Open a channel with a connection of its own, which adds nothing to calls."""
    arguments = [("grpc.use_local_subchannel_pool", 1), *((f"grpc.{name}", value) for name, value in options.items())]
    async with grpc.aio.insecure_channel(running.target, options=arguments) as channel:
        yield channel


def silent(channel, method, *, metadata=()):
    """Start a call that sends its headers and never a message."""
    return channel.stream_stream(method)(metadata=metadata, timeout=120)


async def refused(call):
    """Return the error of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def ask(channel, running, tracking_id="a"):
    stub = trackers_pb2_grpc.TrackerServiceStub(channel)
    request = ResolveEventTrackerRequest(tracking_id=tracking_id)
    return (await stub.ResolveEventTracker(request, metadata=bearer(running), timeout=60)).event_tracker_arn


def of_two_loops(record):
    """Tell whether grpc.aio complains of two event loops in one process, as a client and a server have here.

    Both loops are told that events are there and one of them reads, so that the other finds nothing: an error of this
    one kind, which asyncio logs and nobody suffers from. Processes of ours have one loop.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return record.name == "asyncio" and kind is BlockingIOError and "PollerCompletionQueue" in record.getMessage()


@pytest.fixture
def written(caplog):
    """Return the lines at INFO and above: our own as dictionaries, and those of gRPC's library as texts."""

    def texts():
        return [record.getMessage() for record in caplog.records if not of_two_loops(record)]

    with caplog.at_level(logging.INFO), capture_logs() as lines:
        yield lambda: [*(line for line in lines if line["log_level"] != "debug"), *texts()]


def above_info(written):
    """Return lines above INFO, and all of gRPC's library: it logs problems only."""
    return [line for line in written() if isinstance(line, str) or line["log_level"] != "info"]


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


def test_client_that_pings_an_idle_connection_is_not_sent_away(running):
    settings, ping = b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
    answered = ping[:4] + b"\x01" + ping[5:]

    with socket.create_connection(("127.0.0.1", running.server.port), timeout=60) as raw:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        received = b""
        for number in range(1, 21):
            raw.sendall(ping)
            while received.count(answered) < number:
                received += (data := raw.recv(65536))
                assert data, f"the connection was closed after {number} pings"

    assert b"too_many_pings" not in received


def test_round_robin_with_health_checking_uses_those_that_are_ready():
    config = '{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}'

    async def names(channel, running, number):
        return {await ask(channel, running) for _ in range(number)}

    async def scenario(first, second):
        ports = f"127.0.0.1:{first.server.port},127.0.0.1:{second.server.port}"
        options = [("grpc.service_config", config), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"ipv4:{ports}", options=options) as channel:
            one = await names(channel, first, 20)
            second.server.ready()
            async with asyncio.timeout(60):
                while len(await names(channel, first, 2)) < 2:
                    await asyncio.sleep(0)
            first.server.not_ready()
            async with asyncio.timeout(60):
                while await names(channel, first, 2) != {"second"}:
                    await asyncio.sleep(0)
            return one, await names(channel, first, 20)

    keys = make_keys()
    with (
        serving([tracker_service(Trackers("first"))], keys=keys) as first,
        serving([tracker_service(Trackers("second"))], keys=keys) as second,
    ):
        second.server.not_ready()
        servers = asyncio.run(scenario(first, second))
    assert servers == ({"first"}, {"second"})


def test_a_proxy_is_called_whatever_health_it_passes_on_and_one_of_several_addresses_is_not(running):
    running.server.not_ready()
    states = []
    for target in (running.target, f"ipv4:{running.target}"):
        with contextlib.closing(channel(target, token=running.keys.token("client"))) as opened:
            try:
                states.append(health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest()).status)
            except grpc.RpcError as error:
                states.append(from_rpc_error(error).code)

    assert states == [NOT_SERVING, "UNAVAILABLE"]


def test_stop_lets_running_calls_end_and_the_others_are_unavailable(trackers):
    async def scenario(running):
        async with connected(running) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=120)
            states = [(await watch.read()).status]
            calls = [asyncio.create_task(ask(channel, running, "wait")) for _ in range(12)]
            await asyncio.to_thread(wait_until, lambda: trackers.begun == 4)
            stopping = asyncio.create_task(asyncio.to_thread(running.stop, grace=0.5))
            states.append((await watch.read()).status)
            watched = await refused(watch.read())
            ended = await asyncio.gather(*calls, return_exceptions=True)
            trackers.let_go.set()
            await stopping
            return states, type(watched), {from_rpc_error(error).code for error in ended}

    with bounded(trackers) as running:
        assert asyncio.run(scenario(running)) == ([SERVING, NOT_SERVING], Unavailable, {"UNAVAILABLE"})


def test_stop_waits_for_calls_that_end_in_time(trackers):
    async def scenario(running):
        async with connected(running) as channel:
            calls = [asyncio.create_task(ask(channel, running, "wait")) for _ in range(4)]
            await asyncio.to_thread(wait_until, lambda: trackers.begun == 4)
            stopping = asyncio.create_task(asyncio.to_thread(running.stop, grace=20))
            trackers.let_go.set()
            responses = await asyncio.gather(*calls)
            await stopping
            return responses

    with bounded(trackers) as running:
        assert asyncio.run(scenario(running)) == ["here"] * 4


def test_stop_under_load_is_unavailable_to_all_callers(running):
    async def call_until_refused(channel):
        while True:
            try:
                await ask(channel, running)
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error).code

    async def scenario():
        async with connected(running) as one, connected(running) as two:
            calls = [asyncio.create_task(call_until_refused(channel)) for channel in (one, two) for _ in range(24)]
            await ask(one, running)
            await asyncio.to_thread(running.stop, grace=5)
            return set(await asyncio.gather(*calls))

    assert asyncio.run(scenario()) == {"UNAVAILABLE"}


def test_log_line_of_a_rejection_names_the_field_and_quotes_nothing(running, written):
    async def scenario():
        async with connected(running) as channel:
            return await refused(ask(channel, running, "bad"))

    error = asyncio.run(scenario())

    assert "MARKED" in error.message
    assert "MARKED" not in str(written())
    assert [line["fields"] for line in written()] == [["trackingId"]]
