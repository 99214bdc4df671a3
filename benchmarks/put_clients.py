"""A process full of clients that put events or items: `python -m benchmarks.put_clients JSON`.

Each client has a connection of its own and makes one call at a time (closed loop), or begins calls at times that are
given, whatever became of the ones before (open loop). All requests are made before the clock runs. The process says
when it is ready, waits for a line, calls, and prints when each call began and was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

import uvloop

from benchmarks.load.generators import run_generators, told_to_begin
from benchmarks.puts import KINDS, requests
from common.rpc.channels import bare_aio_channel, call_metadata, deadline_seconds

__all__ = ["Acknowledged", "PutLoad", "press"]


@dataclass(frozen=True, slots=True)
class PutLoad:
    """What the clients of one process do.

    Attributes:
        address: `host:port` of the server.
        token: Bearer token.
        kind: One of `KINDS`.
        target: Where the records go.
        clients: Connections.
        calls: Of all clients together.
        seed: Of the requests; no two loads of a run have the same.
        per_second: Calls begun each second, in open loop; 0 for a closed loop.
    """

    address: str
    token: str
    kind: str
    target: str
    clients: int
    calls: int
    seed: int
    per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One call, in seconds on the machine's monotonic clock, which all of its processes share.

    Attributes:
        number: Of the load's call, from 0.
        begun: When it was made; in open loop when it should have been.
        ended: When its answer was there.
    """

    number: int
    begun: float
    ended: float


def press(loads: Sequence[PutLoad]) -> list[list[Acknowledged]]:
    """Run a process for each load, all at the same time; return the calls of each.

    Raises:
        Unavailable: A call failed, or a process did.
    """
    results = run_generators("benchmarks.put_clients", loads)
    return [[Acknowledged(*row) for row in rows] for rows in results]


async def _run(load: PutLoad) -> None:
    kind = KINDS[load.kind]
    bodies = [
        message.SerializeToString() for message in islice(requests(kind, load.target, seed=load.seed), load.calls)
    ]
    metadata, seconds = call_metadata(load.token), deadline_seconds(kind.method)
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(bare_aio_channel(load.address)) for _ in range(load.clients)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        calls: list[Any] = [channel.unary_unary(kind.method, None, None) for channel in channels]
        await told_to_begin()
        done: list[Acknowledged] = []

        async def one(call: Any, number: int, begun: float) -> None:
            await call(bodies[number], metadata=metadata, timeout=seconds)
            done.append(Acknowledged(number, begun, time.monotonic()))

        async def client(place: int) -> None:
            for number in range(place, load.calls, load.clients):
                await one(calls[place], number, time.monotonic())

        if load.per_second:
            await _open_loop(load, calls, one)
        else:
            await asyncio.gather(*(client(place) for place in range(load.clients)))
    sys.stdout.write(json.dumps([(item.number, item.begun, item.ended) for item in done]))


async def _open_loop(load: PutLoad, calls: Sequence[Any], one: Any) -> None:
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(load.calls):
            begun = started + number / load.per_second
            if (early := begun - time.monotonic()) > 0:
                await asyncio.sleep(early)
            group.create_task(one(calls[number % load.clients], number, begun))


if __name__ == "__main__":
    uvloop.run(_run(PutLoad(**json.loads(sys.argv[1]))))
