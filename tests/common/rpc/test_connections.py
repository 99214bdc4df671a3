"""Whom connections lead to, and how they stay and end: pings, health, several addresses, stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import Unavailable
from common.rpc import channel, from_rpc_error
from common.testing import make_keys, serving, wait_until
from tests.common.rpc.calling import NOT_SERVING, SERVING, Trackers, ask, bounded, connected, refused, tracker_service


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
