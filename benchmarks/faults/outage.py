"""GetRecommendations while processes die: `python -m benchmarks.faults.outage`.

A system is set up and serves a campaign of popular items. Then its control plane and its runtime run alone, without a
supervisor. Clients ask all the time, each call over a connection of its own, as callers without retries meet it. First
all workers of the runtime are killed (SIGKILL) while the control plane is there, then the control plane, and some
seconds later all workers again, while it is away. Measured is, from each killing on, the share of calls that failed,
and how long it took until calls succeeded again; "never" is until the end of the measurement.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

from benchmarks.processes import repeat_calls, running_process
from benchmarks.report import markdown_table, publish
from benchmarks.system import System, running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS
from cli.demo.journey import Journey
from cli.system import process_specs
from common.errors import Unavailable
from common.rpc.probe import is_serving
from common.testing import wait_until
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub

_CALL_SECONDS = 1.0
_START_SECONDS = 60.0
#: Time between two calls of a client.
_PAUSE_SECONDS = 0.01
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of the calls that were made after workers were killed.

    Attributes:
        calls: How many were made.
        failed: How many of them failed.
        seconds: From the killing to the first success that no failure followed; None for never.
    """

    calls: int
    failed: int
    seconds: float | None

    def figures(self) -> dict[str, Any]:
        """Return what is published."""
        share = round(100.0 * self.failed / self.calls, 1)
        return {
            "calls": self.calls,
            "failed": self.failed,
            "failed_percent": share,
            "seconds_until_served": self.seconds,
        }


def prepare(folder: Path, *, workers: int) -> tuple[System, GetRecommendationsRequest]:
    """Make a system in a folder that serves one campaign; return it, stopped, with a request for the campaign."""
    data = generate(users=60)
    with running_system(folder, settings={"TAILORBIRD_WORKERS": str(workers)}) as system:
        journey = Journey(system.clients(), suffix="benchmark")
        journey.create_datasets(SCHEMAS)
        files = data.write_csv(system.installation.buckets / "benchmark")
        journey.import_csv({kind: f"s3://benchmark/{path.name}" for kind, path in files.items()})
        version = journey.train(journey.create_solution("popular", "aws-popularity-count"))
        campaign = journey.create_campaign("films", version)
    return system, GetRecommendationsRequest(campaign_arn=campaign, num_results=10)


@contextmanager
def running_alone(system: System, name: str, *, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run one process of a system without its supervisor, and kill it at the end."""
    (spec,) = (one for one in process_specs(system.installation, system.ports, environ=os.environ) if one.name == name)
    environment = {**spec.environment, "TAILORBIRD_WORKERS": str(workers)}
    log = system.installation.root / f"{name}.log"
    with running_process(
        spec.command, log=log, is_ready=lambda: is_serving(spec.address), environ=environment
    ) as process:
        yield process


class Callers:
    """Clients that call all the time while they run.

    Args:
        address: Of the runtime.
        request: Of every call.
        token: Bearer token.
        count: How many there are.
    """

    def __init__(self, address: str, request: GetRecommendationsRequest, *, token: str, count: int) -> None:
        self._address = address
        self._request = request
        self._token = token
        self._count = count

    def call_after_killing(self, workers: Sequence[psutil.Process], *, seconds: float) -> Outcome:
        """Kill workers, call for some seconds from then on, and return the results."""
        ends: list[tuple[float, bool]] = []

        def call() -> None:
            answered = self.is_answered()
            ends.append((time.monotonic(), answered))

        for worker in workers:
            worker.kill()
        killed = time.monotonic()
        repeat_calls(call, clients=self._count, seconds=seconds, pause_seconds=_PAUSE_SECONDS)
        last_failure = max((end for end, answered in ends if not answered), default=killed)
        served = [end for end, answered in ends if answered and end >= last_failure]
        return Outcome(
            len(ends), sum(not answered for _, answered in ends), round(min(served) - killed, 2) if served else None
        )

    def is_answered(self) -> bool:
        """Call once, over a new connection; return whether that was answered."""
        with grpc.insecure_channel(self._address, options=_OPTIONS) as channel:
            try:
                RuntimeServiceStub(channel).GetRecommendations(
                    self._request, metadata=(("authorization", f"Bearer {self._token}"),), timeout=_CALL_SECONDS
                )
            except grpc.RpcError:
                return False
        return True


def workers_of(runtime: subprocess.Popen[bytes], *, address: str) -> list[psutil.Process]:
    """Return the children of a runtime that listen on its port."""
    port = int(address.rpartition(":")[2])
    listen = psutil.CONN_LISTEN
    return [
        child
        for child in psutil.Process(runtime.pid).children()
        if any(one.status == listen and one.laddr.port == port for one in child.net_connections("tcp"))
    ]


def measure(folder: Path, *, workers: int, clients: int, seconds: float) -> dict[str, Outcome]:
    """Run everything and return the results of the calls.

    Args:
        folder: For everything that is written.
        workers: Of the runtime.
        clients: That call at a time.
        seconds: Length of each measurement.

    Raises:
        Unavailable: The campaign is not served before anything is killed.
    """
    system, request = prepare(folder, workers=workers)
    address = system.ports.address("runtime_service")
    with (
        running_alone(system, "control_plane", workers=workers) as control_plane,
        running_alone(system, "runtime_service", workers=workers) as runtime,
    ):
        callers = Callers(address, request, token=system.token(), count=clients)

        def all_workers() -> list[psutil.Process]:
            """Wait until all of them listen."""
            wait_until(lambda: len(workers_of(runtime, address=address)) == workers, seconds=_START_SECONDS)
            return workers_of(runtime, address=address)

        first = all_workers()
        if not callers.is_answered():
            raise Unavailable(f"{request.campaign_arn}: got no answer before anything was killed, want one")
        outcomes = {"workers killed": callers.call_after_killing(first, seconds=seconds)}
        second = all_workers()
        control_plane.kill()
        control_plane.wait()
        outcomes["control plane killed"] = callers.call_after_killing([], seconds=seconds)
        outcomes["then workers killed"] = callers.call_after_killing(second, seconds=seconds)
    return outcomes


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="of the runtime")
    parser.add_argument("--clients", type=int, default=4, help="how many ask at a time")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each of the three measurements")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = measure(
            Path(folder), workers=arguments.workers, clients=arguments.clients, seconds=arguments.seconds
        )
    figures = {name: outcome.figures() for name, outcome in outcomes.items()}
    table = markdown_table(
        ("from then on", "calls", "failed", "failed %", "seconds until served"),
        [(name, *("never" if value is None else value for value in row.values())) for name, row in figures.items()],
    )
    settings = {"workers": arguments.workers, "clients": arguments.clients, "seconds": arguments.seconds}
    publish({"settings": settings, "phases": figures}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
