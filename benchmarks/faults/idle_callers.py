"""Callers who only hold calls open, beside an honest client: `python -m benchmarks.faults.idle_callers`.

A control plane and an events service run as processes of their own. Against each, one kind of idle caller after another
holds its calls: with headers only and no token, with headers only and a token, watching health, and with streams of
reflection. Meanwhile a client with a token makes one small call after another, and asks for health.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.processes import running_both_services
from benchmarks.report import markdown_table, percentile, publish
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.control.v1.recipe_pb2 import ListRecipesRequest
from protos.tailorbird.internal.v1.event_log_pb2 import ReadRecordsRequest
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub

_WATCH = "/grpc.health.v1.Health/Watch"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A process under test.

    Attributes:
        method: Full name of the honest client's method, which idle callers call as well.
    """

    name: str
    address: str
    method: str
    authorization: Metadata


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the honest client measured while one kind of caller held calls.

    Attributes:
        millis: How long each call took, ascending, answered or not.
        answered: How many of them were answered with success.
        held: How many calls the idle ones still held at the end.
    """

    process: str
    idle: str
    millis: tuple[float, ...]
    answered: int
    held: int

    def figures(self) -> dict[str, float]:
        """Return what is published."""
        return {
            "held": self.held,
            "calls": len(self.millis),
            "answered_percent": round(100 * self.answered / len(self.millis), 1),
            "p50_ms": round(percentile(self.millis, 0.5), 2),
            "p99_ms": round(percentile(self.millis, 0.99), 2),
        }


@contextlib.contextmanager
def running_targets(folder: Path) -> Iterator[tuple[Target, ...]]:
    """Run the control plane and the events service, and yield both as targets."""
    methods = {
        "control_plane": ("client", "/tailorbird.control.v1.ControlPlaneService/ListRecipes"),
        "events_service": ("runtime", "/tailorbird.internal.v1.EventLogService/ReadRecords"),
    }
    with running_both_services(folder) as services:
        yield tuple(
            Target(name, services.addresses[name], method, (("authorization", f"Bearer {services.token(role)}"),))
            for name, (role, method) in methods.items()
        )


@contextlib.asynccontextmanager
async def connected(target: Target) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(target.address, options=options) as channel:
        yield channel


@contextlib.asynccontextmanager
async def holding(target: Target, method: str, metadata: Metadata, *, number: int, message: bool) -> AsyncIterator[Any]:
    """Hold `number` calls, each without an end of its own, and yield them."""
    async with connected(target) as channel:
        # The stubs want serializers, and messages from the start; gRPC wants neither.
        begin: Any = channel.unary_stream if message else channel.stream_stream
        stream = begin(method)
        calls = [stream(b"", metadata=metadata) if message else stream(metadata=metadata) for _ in range(number)]
        # A call is on its way when its first turn of the loop is over; none of these is answered.
        await asyncio.sleep(0.2)
        yield calls
        for call in calls:
            call.cancel()


async def measure_honest_client(target: Target, *, seconds: float, patience: float) -> tuple[list[float], int]:
    """Make small calls for a while; return their times in milliseconds, and how many were answered."""
    millis: list[float] = []
    answered = 0
    end = time.monotonic() + seconds
    async with connected(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        calls: tuple[Callable[[], Any], ...] = (
            lambda: _work(channel, target, patience),
            lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=patience),
        )
        while time.monotonic() < end:
            for call in calls:
                began = time.perf_counter()
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await call()
                    answered += 1
                millis.append((time.perf_counter() - began) * 1000)
    return millis, answered


def _work(channel: grpc.aio.Channel, target: Target, patience: float) -> Any:
    if target.name == "control_plane":
        stub = ControlPlaneServiceStub(channel)
        return stub.ListRecipes(ListRecipesRequest(max_results=1), metadata=target.authorization, timeout=patience)
    log = EventLogServiceStub(channel)
    return log.ReadRecords(ReadRecordsRequest(from_offset=1), metadata=target.authorization, timeout=patience)


async def measure(target: Target, *, number: int, seconds: float, patience: float) -> list[Measurement]:
    """Let each kind of idle caller hold its calls in turn."""
    idle_kinds: dict[str, tuple[str, Metadata, int, bool]] = {
        "nobody": (target.method, (), 0, False),
        "headers only, no token": (target.method, (), number, False),
        "headers only, with a token": (target.method, target.authorization, number, False),
        "health watches": (_WATCH, (), number, True),
        "streams of reflection": (_REFLECTION, target.authorization, number, False),
    }
    measurements = []
    for name, (method, metadata, count, message) in idle_kinds.items():
        async with holding(target, method, metadata, number=count, message=message) as calls:
            millis, answered = await measure_honest_client(target, seconds=seconds, patience=patience)
            held = sum(not call.done() for call in calls)
        measurements.append(Measurement(target.name, name, tuple(sorted(millis)), answered, held))
    return measurements


async def measure_all(targets: tuple[Target, ...], **how: Any) -> list[Measurement]:
    """Measure one process after the other."""
    return [measurement for target in targets for measurement in await measure(target, **how)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=300, help="calls that each kind of idle caller holds")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each of them holds them")
    parser.add_argument("--patience-seconds", type=float, default=2.0, help="deadline of an honest call")
    parser.add_argument("--output", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailorbird-idle-") as folder, running_targets(Path(folder)) as targets:
        work = measure_all(targets, number=options.callers, seconds=options.seconds, patience=options.patience_seconds)
        measurements = asyncio.run(work)
    rows = [[one.process, one.idle, *one.figures().values()] for one in measurements]
    header = ["process", "who holds calls", "held at the end", "honest calls", "answered %", "p50 ms", "p99 ms"]
    figures = {f"{one.process}, {one.idle}": one.figures() for one in measurements}
    publish({"callers": options.callers, "met": figures}, table=markdown_table(header, rows), output=options.output)


if __name__ == "__main__":
    main()
