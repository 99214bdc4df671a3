"""A runtime by the size of its catalogue: `python -m benchmarks.scale`.

For each size an artifact is planted (see `benchmarks.planted`) and served by a runtime that runs alone: it begins with
the assignments that are kept on its host's disk, as after an outage of the control plane. Told are the index, the
seconds from the start of the process until it says that it serves, first when every byte is verified and then again;
what a worker has for itself and what it shares; and calls per second and processor time per call beside an echo server
with as many processes, both pressed by h2load in alternating rounds, each round with other users.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.echo import echo_server
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.planted import Planted, plant
from benchmarks.processes import ServiceSettings, free_base, running_process
from benchmarks.report import markdown_table, percentile, publish
from benchmarks.serving import checked_responses, explored_bytes
from common.rpc import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.internal.v1.serving_pb2 import ServingAssignment
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime

_METHOD: Final = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_RESULTS: Final = 25
_CAMPAIGN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/planted"
_GROUP: Final = "arn:aws:personalize:us-east-1:000000000000:dataset-group/planted"
_START_SECONDS: Final = 600.0
#: The version of the file of assignments.
_KEPT_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of a measurement lies.

    Attributes:
        folder: Of it all.
        settings: Keys and environment.
        planted: The artifact.
        workers: Processes that answer.
    """

    folder: Path
    settings: ServiceSettings
    planted: Planted
    workers: int


@contextmanager
def serving(place: Place) -> Iterator[tuple[str, float, psutil.Process]]:
    """Run the runtime; yield its address, the seconds that it took to serve, and its process."""
    address = f"127.0.0.1:{free_base(1)}"
    state = place.folder / "runtime"
    state.mkdir(exist_ok=True)
    assignment = ServingAssignment(
        serving_arn=_CAMPAIGN,
        deployment_id="planted",
        artifact_location=place.planted.location,
        dataset_group_arn=_GROUP,
        active=True,
    )
    kept = [json_format.MessageToDict(assignment, preserving_proto_field_name=True)]
    document = {"format_version": _KEPT_FORMAT, "assignments": kept, "served": [], "dataset_groups": []}
    (state / "assignments.json").write_text(json.dumps(document))
    environ = {
        **place.settings.environ,
        "TAILORBIRD_LISTEN": address,
        "TAILORBIRD_EVENTS_SERVICE": place.settings.addresses["events_service"],
        "TAILORBIRD_CACHE_DIR": str(state / "artifacts"),
        "TAILORBIRD_HISTORY_DIR": str(state / "history"),
        "TAILORBIRD_WORKERS": str(place.workers),
    }
    began = time.monotonic()
    with running_process(
        [sys.executable, "-m", "runtime_service"],
        log=place.folder / "runtime.log",
        is_ready=partial(serves, address),
        start_seconds=_START_SECONDS,
        environ=environ,
    ) as process:
        yield address, time.monotonic() - began, psutil.Process(process.pid)


def serves(address: str) -> bool:
    """Return whether a runtime says that it serves the campaign."""
    with channel(address, token="") as opened:
        try:
            answer = health_pb2_grpc.HealthStub(opened).Check(
                health_pb2.HealthCheckRequest(service=_CAMPAIGN), timeout=1.0
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def memory_of(runtime_process: psutil.Process) -> tuple[float, float]:
    """Return the MiB that one worker has for itself, and those that it shares: the most of all workers."""
    private, shared = [], []
    for child in runtime_process.children():
        taken = child.memory_full_info()
        private.append(taken.uss / 2**20)
        shared.append((taken.rss - taken.uss) / 2**20)
    return round(max(private), 1), round(max(shared), 1)


def measure(place: Place, *, rounds: int, load: Load, users_of_round: int) -> dict[str, Any]:
    """Start twice, press, and return what is published."""
    with serving(place) as (_, first_seconds, _process):
        pass
    with serving(place) as (address, second_seconds, process):
        token = place.settings.token("client")
        users = place.planted.users[: rounds * users_of_round]
        requests = [
            runtime.GetRecommendationsRequest(campaign_arn=_CAMPAIGN, user_id=user, num_results=_RESULTS)
            for user in users
        ]
        responses = checked_responses(address, requests, token=token)
        slack = explored_bytes([item.item_id for item in responses[0].item_list], repeats=load.repeats)
        with echo_server(responses[0], processes=place.workers, folder=place.folder) as echo:
            series: dict[str, list[LoadResult]] = {address: [], echo: []}
            for begin in range(0, len(requests), users_of_round):
                for server, results in series.items():
                    calls = [
                        Call(requests[at], responses[at].ByteSize(), slack)
                        if server == address
                        else Call(requests[at], responses[0].ByteSize())
                        for at in range(begin, begin + users_of_round)
                    ]
                    results.append(run_load(server, _METHOD, calls, load=load, token=token))
        private, shared = memory_of(process)
    return {
        "index": place.planted.chosen,
        "first_start_s": round(first_seconds, 1),
        "later_start_s": round(second_seconds, 1),
        "worker_mib": private,
        "shared_mib": shared,
        **figures(series[address], series[echo]),
    }


def figures(ours: Sequence[LoadResult], echo: Sequence[LoadResult]) -> dict[str, Any]:
    """Return the figures of the rounds."""
    pairs = list(zip(ours, echo, strict=True))
    latencies = sorted(latency for result in ours for latency in result.latencies_ms)
    return {
        "calls_per_second": round(statistics.median(result.per_second for result in ours)),
        "echo_per_second": round(statistics.median(result.per_second for result in echo)),
        "share": round(statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs), 3),
        "cpu_micros": round(statistics.median(result.cpu_micros for result in ours)),
        "echo_cpu_micros": round(statistics.median(result.cpu_micros for result in echo)),
        "share_by_cpu": round(statistics.median(theirs.cpu_micros / mine.cpu_micros for mine, theirs in pairs), 3),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "wrong": sum(result.wrong for result in ours),
    }


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[1_682, 60_000, 1_000_000])
    parser.add_argument("--users", type=int, default=20_000, help="that the model knows")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--users-of-round", type=int, default=32, help="that ask, other ones in each round")
    parser.add_argument("--repeats", type=int, default=200, help="calls per user and round")
    parser.add_argument("--lanes", type=int, default=8, help="connections at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight per connection")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    rows: list[dict[str, Any]] = []
    for n_items in arguments.items:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = ServiceSettings.prepared(folder)
            (folder / "token").write_text(settings.token("runtime"))
            store = open_store(StoreSettings(store_url=settings.environ["TAILORBIRD_STORE_URL"]))
            planted = plant(store, n_items=n_items, n_users=arguments.users)
            for workers in arguments.workers:
                place = Place(folder, settings, planted, workers)
                measured = measure(place, rounds=arguments.rounds, load=load, users_of_round=arguments.users_of_round)
                rows.append({"items": n_items, "workers": workers, **measured})
    header = (
        *("items", "workers", "index", "first start s", "later s", "MiB a worker", "MiB shared"),
        *("calls/s", "echo", "share", "CPU µs", "echo", "share by CPU", "p50 ms", "p99 ms", "wrong"),
    )
    table = markdown_table(header, [tuple(row.values()) for row in rows])
    chosen = {
        name: getattr(arguments, name) for name in ("users", "rounds", "users_of_round", "repeats", "lanes", "streams")
    }
    publish({"settings": {**chosen, "processors": os.cpu_count()}, "rows": rows}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
