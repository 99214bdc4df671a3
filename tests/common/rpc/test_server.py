"""Real servers and channels: what every service gets from `common.rpc`."""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.auth import TokenIssuer
from common.clock import ManualClock
from common.errors import (
    FieldViolation,
    InvalidInput,
    PermissionDenied,
    ResourceNotFound,
    TailorbirdError,
    Unauthenticated,
    invalid,
)
from common.rpc import AioRpcServer, CallPolicy, Service, aio_channel, channel, from_rpc_error, serve_until_signal
from common.rpc.channels import deadline_seconds
from common.settings import CallLimits
from common.testing import make_keys, serving
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse


class Trackers(trackers_pb2_grpc.TrackerServiceServicer):
    """Answers with the id, or fails in the way that the id names."""

    def ResolveEventTracker(self, request, context):
        match request.tracking_id:
            case "missing":
                raise ResourceNotFound("no such tracker", metadata={"trackingId": "missing"})
            case "bad":
                raise invalid("trackingId", got="bad", want="a UUID")
            case "long":
                text = "\u20ac" * 20_000
                raise InvalidInput(text, violations=[FieldViolation("a.b", text), *[FieldViolation(text, "c")] * 9])
            case "crash":
                raise ZeroDivisionError("the secret detail")
        return ResolveEventTrackerResponse(event_tracker_arn=request.tracking_id)


class AioTrackers(trackers_pb2_grpc.TrackerServiceServicer):
    """The same as coroutines."""

    async def ResolveEventTracker(self, request, context):
        return Trackers().ResolveEventTracker(request, context)


def service(servicer):
    return Service(
        trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
        trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
        servicer,
    )


@pytest.fixture(scope="module")
def running():
    with serving([service(Trackers())]) as made:
        yield made


def resolve(running, tracking_id, role="events"):
    with running.channel(role) as opened:
        return trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(
            ResolveEventTrackerRequest(tracking_id=tracking_id)
        )


def test_an_admitted_role_is_served(running):
    assert resolve(running, "abc").event_tracker_arn == "abc"


@pytest.mark.parametrize(
    ("tracking_id", "kind", "code"),
    [
        ("missing", ResourceNotFound, grpc.StatusCode.NOT_FOUND),
        ("bad", InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
        ("long", InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
        ("crash", TailorbirdError, grpc.StatusCode.INTERNAL),
    ],
)
def test_an_error_of_the_tree_comes_back_as_itself(running, tracking_id, kind, code):
    with pytest.raises(grpc.RpcError) as caught:
        resolve(running, tracking_id)
    assert caught.value.code() is code
    assert type(from_rpc_error(caught.value)) is kind


def test_field_violations_and_metadata_survive_the_wire(running):
    with pytest.raises(grpc.RpcError) as bad:
        resolve(running, "bad")
    with pytest.raises(grpc.RpcError) as missing:
        resolve(running, "missing")
    assert [item.field for item in from_rpc_error(bad.value).violations] == ["trackingId"]
    assert from_rpc_error(missing.value).metadata == {"trackingId": "missing"}


def test_an_unexpected_error_shows_nothing_of_itself(running):
    with pytest.raises(grpc.RpcError) as caught:
        resolve(running, "crash")
    assert "secret" not in caught.value.details()


def test_another_role_is_refused(running):
    with pytest.raises(grpc.RpcError) as caught:
        resolve(running, "abc", role="client")
    assert isinstance(from_rpc_error(caught.value), PermissionDenied)


def test_a_call_without_token_is_refused(running):
    with grpc.insecure_channel(running.target) as opened, pytest.raises(grpc.RpcError) as caught:
        trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(ResolveEventTrackerRequest(), timeout=60)
    assert isinstance(from_rpc_error(caught.value), Unauthenticated)


def test_a_token_of_another_installation_is_refused(running):
    stranger = channel(running.target, token=make_keys().token("events"))
    with stranger as opened, pytest.raises(grpc.RpcError) as caught:
        trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(ResolveEventTrackerRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_an_expired_token_is_refused(running):
    past = ManualClock(datetime.now(UTC) - timedelta(hours=2))
    token = TokenIssuer(running.keys.private_pem, clock=past).issue(
        "events", subject="old", lifetime=timedelta(hours=1)
    )
    with channel(running.target, token=token) as opened, pytest.raises(grpc.RpcError) as caught:
        trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(ResolveEventTrackerRequest())
    assert "expired" in caught.value.details()


def test_the_request_id_comes_back_with_answers_and_errors(running):
    with running.channel("events") as opened:
        stub = trackers_pb2_grpc.TrackerServiceStub(opened)
        _, call = stub.ResolveEventTracker.with_call(
            ResolveEventTrackerRequest(tracking_id="a"), metadata=[("x-request-id", "r-1")]
        )
        with pytest.raises(grpc.RpcError) as caught:
            stub.ResolveEventTracker(ResolveEventTrackerRequest(tracking_id="bad"), metadata=[("x-request-id", "r-2")])
    assert ("x-request-id", "r-1") in [tuple(item) for item in call.trailing_metadata()]
    assert ("x-request-id", "r-2") in [tuple(item) for item in caught.value.trailing_metadata()]


def test_health_needs_no_token_and_waits_for_ready():
    keys = make_keys()

    async def scenario():
        server = AioRpcServer([service(Trackers())], policy=CallPolicy(keys.verifier), address="127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
            stub = health_pb2_grpc.HealthStub(opened)
            first = await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
            server.ready()
            second = await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
        await server.stop(grace=0)
        return first.status, second.status

    before, after = asyncio.run(scenario())
    assert before == health_pb2.HealthCheckResponse.NOT_SERVING
    assert after == health_pb2.HealthCheckResponse.SERVING


def test_calls_that_wait_are_woken_when_the_drain_is_over():
    keys, limits = make_keys(), CallLimits(drain_seconds=0.3)
    woken, signalled = [], []

    async def scenario():
        now = asyncio.get_running_loop().time
        server = AioRpcServer([], policy=CallPolicy(keys.verifier), address="127.0.0.1:0", limits=limits)
        serving = asyncio.create_task(serve_until_signal(server, grace=0, on_stop=lambda: woken.append(now())))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
            watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                pass
            signalled.append(now())
            os.kill(os.getpid(), signal.SIGTERM)
            await serving

    asyncio.run(scenario())
    assert woken[0] - signalled[0] >= limits.drain_seconds


def test_a_taken_port_is_a_clear_error(running):
    async def bind():
        AioRpcServer([], policy=CallPolicy(running.keys.verifier), address=running.target)

    with pytest.raises(InvalidInput, match="cannot be bound"):
        asyncio.run(bind())


def test_methods_that_are_coroutines_are_served_alike():
    async def scenario(target, keys):
        seen = {}
        for role, tracking_id in (("events", "ok"), ("events", "bad"), ("client", "ok"), ("events", "crash")):
            async with aio_channel(target, token=keys.token(role)) as opened:
                stub = trackers_pb2_grpc.TrackerServiceStub(opened)
                try:
                    answer = await stub.ResolveEventTracker(ResolveEventTrackerRequest(tracking_id=tracking_id))
                    seen[role, tracking_id] = answer.event_tracker_arn
                except grpc.RpcError as error:
                    seen[role, tracking_id] = type(from_rpc_error(error))
        return seen

    with serving([service(AioTrackers())]) as running:
        seen = asyncio.run(scenario(running.target, running.keys))

    assert seen == {
        ("events", "ok"): "ok",
        ("events", "bad"): InvalidInput,
        ("client", "ok"): PermissionDenied,
        ("events", "crash"): TailorbirdError,
    }


class Deadlines(trackers_pb2_grpc.TrackerServiceServicer):
    """Notes between which two times a call is over, by the clock of this machine."""

    def __init__(self):
        self.ends = []

    def ResolveEventTracker(self, request, context):
        before, remaining, after = time.monotonic(), context.time_remaining(), time.monotonic()
        self.ends.append((before + remaining, after + remaining))
        return ResolveEventTrackerResponse()


@pytest.mark.parametrize("given", [None, 3.0])
def test_a_call_has_the_time_that_the_configuration_or_the_caller_says(given):
    seen = Deadlines()
    request = ResolveEventTrackerRequest(tracking_id="t")

    async def ask_aio(target, token):
        async with aio_channel(target, token=token) as opened:
            await trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(request, timeout=given)

    with serving([service(seen)]) as running:
        began = time.monotonic()
        with running.channel("events") as opened:
            trackers_pb2_grpc.TrackerServiceStub(opened).ResolveEventTracker(request, timeout=given)
        asyncio.run(ask_aio(running.target, running.keys.token("events")))
        ended = time.monotonic()

    seconds = given or 10.0
    rounding = 0.1  # gRPC sends whole milliseconds, and fewer digits of long times
    assert len(seen.ends) == 2
    for earliest, latest in seen.ends:
        assert latest >= began + seconds - rounding
        assert earliest <= ended + seconds + rounding


def test_the_most_exact_entry_says_how_long_a_call_may_take():
    assert deadline_seconds("/tailorbird.runtime.v1.RuntimeService/GetRecommendations") == 2.0
    assert deadline_seconds("/tailorbird.internal.v1.JobService/LeaseJob") == 75.0
    assert deadline_seconds("/tailorbird.internal.v1.JobService/FinishJob") == 10.0
    assert deadline_seconds("/some.other.Service/Call") == 10.0
