"""A process full of clients of gRPC: `python -m benchmarks.load.clients JSON`.

In a closed loop so many calls are in progress at a time, each begun when one before is answered: that finds out how
many calls a second a server can do. In an open loop calls begin at the times of a Poisson process, whatever became of
those before, and latency counts from the time at which a call should have begun: a server that stands still for a
second is seen by all calls of that second (no coordinated omission). How late the process itself was is recorded, too.

Messages are made before the clock runs, and answers are not parsed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio
import uvloop

from benchmarks.load.generators import run_generators, told_to_begin
from benchmarks.load.histograms import add_encoded, encoded, new_histogram
from benchmarks.load.mix import DrawnCall, Target, draw_calls
from common.errors import Unavailable
from common.rpc.channels import bare_aio_channel, call_metadata, deadline_seconds

__all__ = ["ClientLoad", "Outcome", "press"]

#: Different calls of one process, which come again when all were made.
_PREPARED: Final = 10_000
#: Between the word to begin and the beginning, so that all processes begin together.
_BEGIN_SECONDS: Final = 0.5
_MICROS: Final = 1e6


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """What one process does.

    Attributes:
        target: File of a `Target`.
        seconds: How long calls are begun.
        seed: Of what is called, and when.
        connections: To each server.
        in_progress: Calls at a time, in a closed loop.
        per_second: Calls begun each second on average, in an open loop; 0 for a closed one.
    """

    target: str
    seconds: float
    seed: int
    connections: int
    in_progress: int
    per_second: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What the calls of one or several processes came to.

    Attributes:
        seconds: How long calls were begun.
        started: Seconds since 1970 at the beginning.
        latencies: Of answered calls, in microseconds.
        intervals: The same by the second in which they were answered, from 0.
        lateness: How much later than it should a call was begun, in microseconds; of open loops.
        failures: Failed calls by the name of the status.
        kinds: Answered calls by their kind.
    """

    seconds: float
    started: float = 0.0
    latencies: Any = field(default_factory=new_histogram)
    intervals: dict[int, Any] = field(default_factory=dict)
    lateness: Any = field(default_factory=new_histogram)
    failures: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """Answered calls."""
        return self.kinds.total()

    @property
    def per_second(self) -> float:
        """Calls answered in one second."""
        return self.calls / self.seconds

    def add(self, said: Mapping[str, Any]) -> None:
        """Add what a process has said."""
        self.started = said["started"]
        add_encoded(self.lateness, said["lateness"])
        for second, text in said["intervals"].items():
            add_encoded(self.intervals.setdefault(int(second), new_histogram()), text)
            add_encoded(self.latencies, text)
        self.failures.update(said["failures"])
        self.kinds.update(said["kinds"])


def press(loads: Sequence[ClientLoad]) -> Outcome:
    """Run a process for each load, all at the same time, and return what all calls came to.

    Raises:
        Unavailable: A process ended early, or no call was answered.
    """
    outcome = Outcome(max(load.seconds for load in loads))
    for said in run_generators("benchmarks.load.clients", loads, begin=lambda: str(time.monotonic() + _BEGIN_SECONDS)):
        outcome.add(said)
    if not outcome.calls:
        raise Unavailable(f"calls: got none answered ({dict(outcome.failures)}), want a server that answers")
    return outcome


class _Clients:
    """The clients of this process, and the records of what they did."""

    def __init__(self, load: ClientLoad, prepared: Sequence[DrawnCall], *, token: str) -> None:
        self._load = load
        self._prepared = itertools.cycle(prepared)
        self._metadata = call_metadata(token)
        self._callables: dict[tuple[str, str], Any] = {}
        self._begin = 0.0
        self._intervals: dict[int, Any] = {}
        self._lateness = new_histogram()
        self._failures: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()

    async def connect(self, stack: AsyncExitStack, calls: Sequence[DrawnCall]) -> None:
        """Open the connections, and return when they stand."""
        channels: dict[str, list[grpc.aio.Channel]] = {}
        for address in {call.address for call in calls}:
            channels[address] = [
                await stack.enter_async_context(bare_aio_channel(address)) for _ in range(self._load.connections)
            ]
            await asyncio.gather(*(channel.channel_ready() for channel in channels[address]))
        for address, method in {(call.address, call.method) for call in calls}:
            made = [channel.unary_unary(method, None, None) for channel in channels[address]]
            self._callables[address, method] = itertools.cycle(made)

    async def closed_loop(self, begin: float) -> None:
        """Make calls one after the other, so many at a time."""
        self._begin, end = begin, begin + self._load.seconds
        await asyncio.sleep(begin - time.monotonic())

        async def client() -> None:
            while (now := time.monotonic()) < end:
                await self._call(now)

        await asyncio.gather(*(client() for _ in range(self._load.in_progress)))

    async def open_loop(self, begin: float) -> None:
        """Begin calls at the times of a Poisson process."""
        self._begin, rng, due = begin, random.Random(self._load.seed), begin
        async with asyncio.TaskGroup() as group:
            while (due := due + rng.expovariate(self._load.per_second)) < begin + self._load.seconds:
                if (early := due - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                self._lateness.record_value(max(1, int(_MICROS * (time.monotonic() - due))))
                group.create_task(self._call(due))

    async def _call(self, due: float) -> None:
        call = next(self._prepared)
        send = next(self._callables[call.address, call.method])
        try:
            answer = await send(call.body, metadata=self._metadata, timeout=deadline_seconds(call.method))
        except grpc.aio.AioRpcError as error:
            self._failures[error.code().name] += 1
            return
        if not answer and call.kind != "events":
            self._failures["EMPTY"] += 1
            return
        now = time.monotonic()
        second = int(now - self._begin)
        if (interval := self._intervals.get(second)) is None:
            interval = self._intervals[second] = new_histogram()
        interval.record_value(max(1, int(_MICROS * (now - due))))
        self._kinds[call.kind] += 1

    def report(self) -> str:
        """Return the records as JSON."""
        return json.dumps(
            {
                "started": time.time() - (time.monotonic() - self._begin),
                "intervals": {second: encoded(histogram) for second, histogram in self._intervals.items()},
                "lateness": encoded(self._lateness),
                "failures": self._failures,
                "kinds": self._kinds,
            }
        )


async def _run(load: ClientLoad) -> None:
    target = Target.read(Path(load.target))
    prepared = list(itertools.islice(draw_calls(target, seed=load.seed), _PREPARED))
    clients = _Clients(load, prepared, token=target.token)
    async with AsyncExitStack() as stack:
        await clients.connect(stack, prepared)
        begin = float(await told_to_begin())
        await (clients.open_loop(begin) if load.per_second else clients.closed_loop(begin))
    sys.stdout.write(clients.report())


if __name__ == "__main__":
    uvloop.run(_run(ClientLoad(**json.loads(sys.argv[1]))))
