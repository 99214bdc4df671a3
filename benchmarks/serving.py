"""GetRecommendations compared with an echo server of the same stack: `python -m benchmarks.serving`.

Both are put under load by h2load in alternating rounds of one run: the whole system's runtime, which looks a user up,
searches the catalogue and answers 25 items with scores, and a server whose response was prepared from one of those.
The ratio of the two throughputs is the share of the stack's own limit that is left for applications.

One place in a thousand of an answer is given to a new item, which has no score (exploration). Checked answers are asked
for again until they have none; those that are counted may have some, and their bytes may differ by what so many items
at most come to (six standard deviations), which is less than a failed call would lack.

Every round asks for other users, each several times in a row: h2load repeats one body (see
`benchmarks.load.h2load`). Nothing in the runtime remembers an answer; the vector of a user whose newest interaction is
in the trained snapshot is part of the artifact, as for most users of a live system. The load generator shares the
machine with the servers.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.echo import echo_server
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.report import markdown_table, percentile, publish
from benchmarks.system import System, running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS, DemoData
from cli.demo.journey import Journey
from cli.demo.run_demo import load_data
from cli.env import Env
from common.errors import InvalidInput, Unavailable
from common.rpc import channel
from inference.result import EXPLORED
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1 import runtime_service_pb2_grpc
from recipes.components.exploration import MANAGED_SHARE

_METHOD = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_RESULTS = 25
#: What serves is measured, not what is learnt: a short training gives vectors of the same shape.
_HYPERPARAMETERS = {"epochs": 3}
#: Answers asked for until one holds no explored item: one in forty does.
_TRIES = 20
_ALONE = Load(lanes=1, streams=1, repeats=20)


def deploy(system: System, data: DemoData) -> str:
    """Import, train and serve the data; return the campaign's ARN."""
    journey = Journey(system.clients(), suffix="benchmark")
    journey.create_datasets(SCHEMAS)
    files = data.write_csv(system.installation.buckets / "benchmark")
    journey.import_csv({kind: f"s3://benchmark/{path.name}" for kind, path in files.items()})
    solution = journey.create_solution("personal", "aws-user-personalization-v2", hyperparameters=_HYPERPARAMETERS)
    return journey.create_campaign("films", journey.train(solution))


def checked_responses(
    address: str, requests: Sequence[runtime.GetRecommendationsRequest], *, token: str
) -> list[runtime.GetRecommendationsResponse]:
    """Make each call with the generated stub, again while its answer holds an explored item.

    Raises:
        Unavailable: An answer is not a full list of different items, each with a score or explored, or there is an
            explored item in every answer.
    """
    responses = []
    with channel(address, token=token) as opened:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(opened)
        for request in requests:
            for _ in range(_TRIES):
                response = stub.GetRecommendations(request)
                scored = {item.item_id for item in response.item_list if item.HasField("score")}
                explored = {item.item_id for item in response.item_list if EXPLORED in item.reason}
                if len(scored | explored) != _RESULTS or scored & explored:
                    raise Unavailable(
                        f"answer for {request.user_id}: got {len(scored)} scored and {len(explored)} explored items, "
                        f"want {_RESULTS} different ones"
                    )
                if not explored:
                    responses.append(response)
                    break
            else:
                raise Unavailable(f"responses to {request.user_id}: got explored items in {_TRIES}, want one without")
    return responses


def explored_bytes(item_ids: Collection[str], *, repeats: int) -> tuple[int, int]:
    """Return how many bytes less, and more, the answers of one run may have because of explored items, at most."""
    lengths = [len(item_id.encode()) for item_id in item_ids]
    explored, scored = (
        [runtime.PredictedItem(item_id="x" * length, **more).ByteSize() for length in (min(lengths), max(lengths))]
        for more in ({"reason": [EXPLORED]}, {"score": 0.5})
    )
    mean = repeats * _RESULTS * MANAGED_SHARE
    count = math.ceil(mean + 6 * math.sqrt(mean))
    return count * max(0, scored[1] - explored[0]), count * max(0, explored[1] - scored[0])


def summary(outcomes: Sequence[LoadResult]) -> dict[str, float]:
    """Work out the figures of one server from its rounds."""
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_ms)
    return {
        "requests": len(latencies),
        "wrong": sum(outcome.wrong for outcome in outcomes),
        "per_second": round(statistics.median(outcome.per_second for outcome in outcomes), 1),
        "p50_ms": round(percentile(latencies, 0.5), 2),
        "p99_ms": round(percentile(latencies, 0.99), 2),
        "cpu_micros": round(statistics.median(outcome.cpu_micros for outcome in outcomes), 1),
    }


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="rounds per server")
    parser.add_argument("--users", type=int, default=32, help="distinct users per round")
    parser.add_argument(
        "--repeats", type=int, default=500, help="calls per user and round: many, as h2load's own start counts"
    )
    parser.add_argument("--lanes", type=int, default=8, help="connections at a time")
    parser.add_argument("--streams", type=int, default=4, help="calls in flight per connection")
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1), help="of each server")
    parser.add_argument(
        "--generated", action="store_true", help="a small generated catalogue instead of MovieLens 100K"
    )
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    data = generate() if arguments.generated else load_data(Env(os.environ).cache_dir, console=Console())
    users = sorted({watch.user for watch in data.interactions})
    n_users = arguments.rounds * arguments.users
    if n_users > len(users):
        raise InvalidInput(f"`users`: got {n_users} in all rounds, want at most {len(users)}, those of the data")
    settings = {"TAILORBIRD_WORKERS": str(arguments.processes)}
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder), settings=settings) as system:
        campaign, token = deploy(system, data), system.token()
        requests = [
            runtime.GetRecommendationsRequest(campaign_arn=campaign, user_id=user, num_results=_RESULTS)
            for user in users[:n_users]
        ]
        address = system.ports.address("runtime_service")
        responses = checked_responses(address, requests, token=token)
        with echo_server(responses[0], processes=arguments.processes, folder=Path(folder)) as echo:
            sizes = {
                address: [response.ByteSize() for response in responses],
                echo: [responses[0].ByteSize()] * len(responses),
            }
            calls = {
                server: [Call(request, size, slack) for request, size in zip(requests, sizes[server], strict=True)]
                for server, slack in ((address, explored_bytes(data.items, repeats=load.repeats)), (echo, (0, 0)))
            }
            under_load: dict[str, list[LoadResult]] = {address: [], echo: []}
            alone: dict[str, list[LoadResult]] = {address: [], echo: []}
            for server in calls:  # first calls of a process are slower
                run_load(server, _METHOD, calls[server][: 2 * load.lanes], load=load, token=token)
            for begin in range(0, len(requests), arguments.users):
                for server in calls:
                    part = calls[server][begin : begin + arguments.users]
                    under_load[server].append(run_load(server, _METHOD, part, load=load, token=token))
                    alone[server].append(run_load(server, _METHOD, part[:25], load=_ALONE, token=token))
        checked_responses(address, requests, token=token)
    report(under_load[address], under_load[echo], alone=(alone[address], alone[echo]), data=data, arguments=arguments)


def report(
    ours: Sequence[LoadResult],
    echo: Sequence[LoadResult],
    *,
    alone: tuple[Sequence[LoadResult], Sequence[LoadResult]],
    data: DemoData,
    arguments: argparse.Namespace,
) -> None:
    """Print and write the figures.

    Raises:
        Unavailable: A call failed: then the figures say nothing.
    """
    pairs = list(zip(ours, echo, strict=True))
    ratios = [mine.per_second / theirs.per_second for mine, theirs in pairs]
    cpu_ratio = round(statistics.median(theirs.cpu_micros / mine.cpu_micros for mine, theirs in pairs), 3)
    figures = {
        "GetRecommendations": summary(ours),
        "echo": summary(echo),
        "GetRecommendations, one call at a time": summary(alone[0]),
        "echo, one call at a time": summary(alone[1]),
    }
    wrong = sum(row["wrong"] for row in figures.values())
    if wrong:
        raise Unavailable(f"calls: got {wrong} that failed or were answered otherwise than when checked, want none")
    table = markdown_table(
        ("server", "calls", "wrong", "calls/s", "p50 ms", "p99 ms", "server CPU µs/call"),
        [(name, *row.values()) for name, row in figures.items()],
    )
    ratio = round(statistics.median(ratios), 3)
    table += f"\nRatio of calls/s {ratio} (rounds: {', '.join(f'{value:.3f}' for value in ratios)}), "
    table += f"by processor time per call {cpu_ratio}\n"
    settings = {
        name: getattr(arguments, name) for name in ("rounds", "users", "repeats", "lanes", "streams", "processes")
    }
    settings |= {"data": data.name, "items": len(data.items)}
    publish(
        {"ratio": ratio, "cpu_ratio": cpu_ratio, "settings": settings, "servers": figures},
        table=table,
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
