"""GetRecommendations compared with an echo server of the same stack: `python -m benchmarks.serving`.

Both are put under load by h2load in alternating rounds of one run: the whole system's runtime, which looks a user up,
searches the catalogue and answers 25 items with scores, and a server whose response was prepared from one of those.
The ratio of the two throughputs is the share of the stack's own limit that is left for applications.

One place in a thousand of an answer is given to a new item, which has no score (exploration). Checked answers are asked
for again until they have none; those that are counted may have some, and their bytes may differ by what so many items
at most come to (six standard deviations), which is less than a failed call would lack.

With `--filters` the same calls are also made with a filter that takes three genres as parameters and leaves out what
the user has watched; those answers are checked to hold nothing else.

Every round asks for other users, each several times in a row: h2load repeats one body (see
`benchmarks.load.h2load`). Nothing in the runtime remembers an answer; the vector of a user whose newest interaction is
in the trained snapshot is part of the artifact, as for most users of a live system. The load generator shares the
machine with the servers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.echo import echo_server
from benchmarks.generated_data import catalogue
from benchmarks.load.h2load import Call, Load, LoadResult, h2load_path, run_load
from benchmarks.load.rounds import alternate, refuse_wrong, shares_of, summary
from benchmarks.report import markdown_table, publish
from benchmarks.system import System, deployed_once, kept_folder, running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS, DemoData
from cli.demo.journey import Journey
from cli.demo.run_demo import load_data
from cli.env import Env
from common.errors import InvalidInput, Unavailable
from common.processors import usable_processors
from common.rpc import channel
from inference.result import EXPLORED
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1 import runtime_service_pb2_grpc
from recipes.components.exploration import MANAGED_SHARE

_METHOD = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
_RESULTS = 25
#: What serves is measured, not what is learnt: a short training gives vectors of the same shape.
_EPOCHS = 3
#: Answers asked for until one holds no explored item: one in forty does.
_TRIES = 20
#: Of a checked call: in its first filtered one a worker reads the columns of all items, seconds for a million.
_CHECK_SECONDS = 60.0
_ALONE = Load(lanes=1, streams=1, repeats=20)
_ALONE_USERS = 25
_ALONE_SUFFIX = ", one call at a time"
#: One parametrised filter of items, one of interactions.
_FILTER = (
    f'INCLUDE ItemID WHERE Items.GENRES IN ($GENRES) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("{EVENT}")'
)
_GENRES = 3
_PLAIN, _FILTERED, _ECHO = "GetRecommendations", "GetRecommendations, filtered", "echo"


def chosen_data(arguments: argparse.Namespace) -> DemoData:
    """Return the data that the options ask for."""
    if arguments.items:
        return catalogue(arguments.items)
    if arguments.generated:
        return generate(users=arguments.generated)
    return load_data(Env(os.environ).cache_dir, console=Console())


def deploy(system: System, data: DemoData, *, epochs: int) -> dict[str, str]:
    """Import, train and serve the data; return the ARNs of the campaign and of the filter."""
    journey = Journey(system.clients(), suffix="benchmark")
    journey.create_datasets(SCHEMAS)
    files = data.write_csv(system.installation.buckets / "benchmark")
    journey.import_csv({kind: f"s3://benchmark/{path.name}" for kind, path in files.items()})
    solution = journey.create_solution("personal", "aws-user-personalization-v2", hyperparameters={"epochs": epochs})
    campaign, personalize = journey.create_campaign("films", journey.train(solution)), journey.clients.personalize
    filter_arn: str = personalize.create_filter(
        name="benchmark", datasetGroupArn=journey.dataset_group_arn, filterExpression=_FILTER
    )["filterArn"]
    journey.wait("filter", lambda: personalize.describe_filter(filterArn=filter_arn)["filter"])
    return {"campaign": campaign, "filter": filter_arn}


def filtered_requests(
    requests: Sequence[runtime.GetRecommendationsRequest], filter_arn: str, data: DemoData
) -> list[runtime.GetRecommendationsRequest]:
    """Return the same requests with a filter, each with three of the largest genres."""
    sizes = Counter(genre for film in data.items.values() for genre in film.genres)
    genres = [genre for genre, _ in sizes.most_common(2 * _GENRES)]
    filtered = []
    for place, request in enumerate(requests):
        chosen = [genres[(place + step) % len(genres)] for step in range(_GENRES)]
        copy = runtime.GetRecommendationsRequest(
            filter_arn=filter_arn, filter_values={"GENRES": ",".join(json.dumps(genre) for genre in chosen)}
        )
        copy.MergeFrom(request)
        filtered.append(copy)
    return filtered


def check_filtered(
    requests: Sequence[runtime.GetRecommendationsRequest],
    responses: Sequence[runtime.GetRecommendationsResponse],
    data: DemoData,
) -> None:
    """Check that answers hold films of the genres that the user has not watched.

    Raises:
        Unavailable: One holds another.
    """
    watched = {(one.user, one.item) for one in data.interactions}
    for request, response in zip(requests, responses, strict=True):
        genres = json.loads(f"[{request.filter_values['GENRES']}]")
        for item in response.item_list:
            if (request.user_id, item.item_id) in watched or not set(genres) & set(data.items[item.item_id].genres):
                raise Unavailable(f"answer for {request.user_id}: got {item.item_id}, which does not pass the filter")


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
                response = stub.GetRecommendations(request, timeout=_CHECK_SECONDS)
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
    parser.add_argument("--processes", type=int, default=min(4, usable_processors()), help="of each server")
    parser.add_argument(
        "--generated",
        type=int,
        nargs="?",
        const=600,
        metavar="USERS",
        help="a small generated catalogue instead of MovieLens 100K, and so many users (600)",
    )
    parser.add_argument("--filters", action="store_true", help="make the same calls with filters, too")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, help="of the training")
    parser.add_argument(
        "--items", type=int, help="a generated catalogue of so many items instead, trained for one epoch"
    )
    parser.add_argument("--keep", type=Path, help="folder in which the system is kept for the next run")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    h2load_path()  # missing tools are told before minutes of preparation
    load = Load(arguments.lanes, arguments.streams, arguments.repeats)
    data = chosen_data(arguments)
    users = sorted({watch.user for watch in data.interactions})
    n_users = arguments.rounds * arguments.users
    if n_users > len(users):
        raise InvalidInput(f"`users`: got {n_users} in all rounds, want at most {len(users)}, those of the data")
    settings = {"TAILORBIRD_WORKERS": str(arguments.processes)}
    with kept_folder(arguments.keep) as folder, running_system(folder, settings=settings) as system:
        epochs = 1 if arguments.items else arguments.epochs
        made_of = {"data": data.name, "epochs": epochs}
        deployed = deployed_once(folder, made_of, partial(deploy, system, data, epochs=epochs))
        campaign, filter_arn, token = deployed["campaign"], deployed["filter"], system.token()
        requests = [
            runtime.GetRecommendationsRequest(campaign_arn=campaign, user_id=user, num_results=_RESULTS)
            for user in users[:n_users]
        ]
        address = system.ports.address("runtime_service")
        requests_by_name = {_PLAIN: requests}
        if arguments.filters:
            requests_by_name[_FILTERED] = filtered_requests(requests, filter_arn, data)
        responses = {name: checked_responses(address, listed, token=token) for name, listed in requests_by_name.items()}
        if arguments.filters:
            check_filtered(requests_by_name[_FILTERED], responses[_FILTERED], data)
        echoed = responses[_PLAIN][0]
        with echo_server(echoed, processes=arguments.processes, folder=folder) as echo:
            slack = explored_bytes(data.items, repeats=load.repeats)
            calls = {
                name: [
                    Call(request, response.ByteSize(), slack)
                    for request, response in zip(listed, responses[name], strict=True)
                ]
                for name, listed in requests_by_name.items()
            }
            calls[_ECHO] = [Call(request, echoed.ByteSize()) for request in requests]
            servers = {name: echo if name == _ECHO else address for name in calls}
            done = measure(servers, calls, load=load, arguments=arguments, token=token)
        for listed in requests_by_name.values():
            checked_responses(address, listed, token=token)
    report(done, data=data, arguments=arguments)


def measure(
    servers: Mapping[str, str],
    calls: Mapping[str, Sequence[Call]],
    *,
    load: Load,
    arguments: argparse.Namespace,
    token: str,
) -> dict[str, list[LoadResult]]:
    """Put all under load in turns; each also with one call at a time, which is told under a name of its own.

    Args:
        servers: `host:port`, by name.
        calls: One for each user, by name.
        load: With many calls at a time.
        arguments: Say how many rounds of how many users.
        token: Bearer token.
    """

    def press(name: str, users: slice) -> LoadResult:
        return run_load(servers[name], _METHOD, calls[name][users], load=load, token=token)

    def press_alone(name: str, users: slice) -> LoadResult:
        return run_load(servers[name], _METHOD, calls[name][users][:_ALONE_USERS], load=_ALONE, token=token)

    sides = {name: partial(press, name) for name in servers}
    sides |= {f"{name}{_ALONE_SUFFIX}": partial(press_alone, name) for name in servers}
    return alternate(sides, rounds=arguments.rounds, users=arguments.users)


def report(done: Mapping[str, Sequence[LoadResult]], *, data: DemoData, arguments: argparse.Namespace) -> None:
    """Print and write the figures.

    Raises:
        Unavailable: A call failed: then the figures say nothing.
    """
    refuse_wrong(done)
    figures = {name: summary(outcomes) for name, outcomes in done.items()}
    table = markdown_table(
        ("server", "calls", "wrong", "calls/s", "p50 ms", "p99 ms", "server CPU µs/call"),
        [(name, *row.values()) for name, row in figures.items()],
    )
    compared = {name: shares_of(done[name], done[_ECHO]) for name in (_PLAIN, _FILTERED) if name in done}
    for name, shares in compared.items():
        rounds = ", ".join(f"{value:.3f}" for value in shares.by_round)
        table += f"\nRatio of calls/s of {name} {shares.by_calls:.3f} (rounds: {rounds}), "
        table += f"by processor time per call {shares.by_cpu}\n"
    settings = {
        name: getattr(arguments, name)
        for name in ("rounds", "users", "repeats", "lanes", "streams", "processes", "filters")
    }
    settings |= {"data": data.name, "items": len(data.items)}
    measured: dict[str, Any] = {"settings": settings, "servers": figures}
    for name, prefix in ((_PLAIN, ""), (_FILTERED, "filtered_")):
        if name in compared:
            measured |= {f"{prefix}ratio": compared[name].by_calls, f"{prefix}cpu_ratio": compared[name].by_cpu}
    publish(measured, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
