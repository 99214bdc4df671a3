"""From the acknowledged event to the changed recommendation: `python -m benchmarks.event_to_effect`.

For each of many distinct users: note the list, send one event for an item that the user never used, and from the
moment that PutEvents has answered ask for the list without pause until it is another. The time to the arrival of the
changed list is measured twice: with gRPC stubs, and with boto3 through the gateway.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.report import markdown_table, percentile, publish
from benchmarks.system import System, running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS, DemoData
from cli.demo.journey import Journey
from common.errors import Unavailable
from common.rpc import channel
from protos.tailorbird.events.v1 import events_service_pb2, events_service_pb2_grpc
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc

_PATIENCE_SECONDS = 10.0
_RESULTS = 25
_RECIPE = "aws-user-personalization-v2"

#: Items with their scores; None for one that is explored.
Answer = tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class ApiClient:
    """One client of the system: how it sends an event, and how it gets a list."""

    name: str
    send: Callable[[str, str], None]
    recommend: Callable[[str], Answer]


def measure_milliseconds(client: ApiClient, users: Sequence[str], data: DemoData) -> list[float]:
    """Measure once per user.

    Raises:
        Unavailable: A list stayed the same.
    """
    used: dict[str, set[str]] = {}
    for watch in data.interactions:
        used.setdefault(watch.user, set()).add(watch.item)
    items = sorted(data.items)
    taken = []
    for place, user in enumerate(users):
        fresh = [item for item in items if item not in used.get(user, set())]
        before = _unexplored(client, user)
        client.send(user, fresh[place % len(fresh)])
        started = time.perf_counter()
        while _unexplored(client, user) == before:
            if time.perf_counter() - started > _PATIENCE_SECONDS:
                raise Unavailable(f"recommendations of {user}: unchanged for {_PATIENCE_SECONDS:g} s after the event")
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def _unexplored(client: ApiClient, user: str) -> Answer:
    """Return a list without an explored item, which would be another one by chance: one list in forty has some."""
    answer = client.recommend(user)
    while any(score is None for _, score in answer):
        answer = client.recommend(user)
    return answer


def boto3_client(system: System, campaign: str, tracking_id: str) -> ApiClient:
    """As an application with an AWS SDK."""
    boto3_clients = system.clients()

    def send(user: str, item: str) -> None:
        event = {"eventType": EVENT, "itemId": item, "sentAt": int(time.time())}
        boto3_clients.events.put_events(trackingId=tracking_id, userId=user, sessionId=f"s-{user}", eventList=[event])

    def recommend(user: str) -> Answer:
        answer = boto3_clients.runtime.get_recommendations(campaignArn=campaign, userId=user, numResults=_RESULTS)
        return tuple((item["itemId"], item.get("score")) for item in answer["itemList"])

    return ApiClient("boto3", send, recommend)


def grpc_client(system: System, campaign: str, tracking_id: str) -> ApiClient:
    """As a backend with the stubs."""
    token = system.token()
    events = events_service_pb2_grpc.EventsServiceStub(channel(system.ports.address("events_service"), token=token))
    runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel(system.ports.address("runtime_service"), token=token))

    def send(user: str, item: str) -> None:
        event = events_service_pb2.Event(event_type=EVENT, item_id=item, sent_at=Timestamp(seconds=int(time.time())))
        events.PutEvents(
            events_service_pb2.PutEventsRequest(
                tracking_id=tracking_id, user_id=user, session_id=f"s-{user}", event_list=[event]
            )
        )

    def recommend(user: str) -> Answer:
        answer = runtime.GetRecommendations(
            runtime_service_pb2.GetRecommendationsRequest(campaign_arn=campaign, user_id=user, num_results=_RESULTS)
        )
        return tuple((item.item_id, item.score if item.HasField("score") else None) for item in answer.item_list)

    return ApiClient("gRPC", send, recommend)


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200, help="events per way")
    parser.add_argument("--epochs", type=int, help="of the training, by default as many as it takes")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    # Every measured user is one of the data and measured once.
    data = generate(users=2 * arguments.events + 50)
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder)) as system:
        journey = Journey(system.clients(), suffix="benchmark")
        journey.create_datasets(SCHEMAS)
        files = data.write_csv(system.installation.buckets / "benchmark")
        journey.import_csv({kind: f"s3://benchmark/{path.name}" for kind, path in files.items()})
        hyperparameters = {} if arguments.epochs is None else {"epochs": arguments.epochs}
        solution = journey.create_solution("personal", _RECIPE, hyperparameters=hyperparameters)
        version = journey.train(solution)
        campaign = journey.create_campaign("films", version)
        tracking_id = journey.create_event_tracker()
        users = sorted({watch.user for watch in data.interactions})
        rows = {}
        for make, begin in ((grpc_client, 0), (boto3_client, arguments.events)):
            client = make(system, campaign, tracking_id)
            taken = sorted(measure_milliseconds(client, users[begin : begin + arguments.events], data))
            rows[client.name] = {
                "events": len(taken),
                "p50_ms": round(percentile(taken, 0.5), 2),
                "p99_ms": round(percentile(taken, 0.99), 2),
                "max_ms": round(taken[-1], 2),
            }
    table = markdown_table(
        ("way", "events", "p50 ms", "p99 ms", "max ms"), [(name, *row.values()) for name, row in rows.items()]
    )
    publish({"ways": rows}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
