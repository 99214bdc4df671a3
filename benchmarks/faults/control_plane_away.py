"""PutEvents while the control plane hangs, and then is dead: `python -m benchmarks.faults.control_plane_away`.

A control plane and an events service run as processes of their own; clients send one event after another. Measured
three times: with the control plane there, some seconds after it was stopped (SIGSTOP: it takes connections and never
answers), and after it was killed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.processes import repeat_calls, running_both_services
from benchmarks.report import markdown_table, percentile, publish
from common.rpc import channel
from protos.tailorbird.control.v1 import dataset_group_pb2, dataset_pb2, event_tracker_pb2, schema_pb2
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub

_CALL_SECONDS = 5.0
_SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Interactions",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
        ],
        "version": "1.0",
    }
)


@dataclass(frozen=True, slots=True)
class Phase:
    """What clients measured in one stretch of time.

    Attributes:
        millis: How long each call took, ascending, answered or not.
        acknowledged: How many of them were answered with success.
    """

    name: str
    millis: tuple[float, ...]
    acknowledged: int

    def figures(self) -> dict[str, float]:
        """Return what is published."""
        return {
            "calls": len(self.millis),
            "acknowledged_percent": round(100 * self.acknowledged / len(self.millis), 1),
            "p50_ms": round(percentile(self.millis, 0.5), 2),
            "p99_ms": round(percentile(self.millis, 0.99), 2),
        }


def make_tracker(control_plane: ControlPlaneServiceStub) -> str:
    """Make a dataset group with an Interactions dataset, and return the id of its tracker."""
    group = control_plane.CreateDatasetGroup(dataset_group_pb2.CreateDatasetGroupRequest(name="away")).dataset_group_arn
    schema = control_plane.CreateSchema(schema_pb2.CreateSchemaRequest(name="away", schema=_SCHEMA)).schema_arn
    control_plane.CreateDataset(
        dataset_pb2.CreateDatasetRequest(
            name="away", schema_arn=schema, dataset_group_arn=group, dataset_type="Interactions"
        )
    )
    request = event_tracker_pb2.CreateEventTrackerRequest(name="away", dataset_group_arn=group)
    return control_plane.CreateEventTracker(request).tracking_id


class Clients:
    """Clients that each send one event after another.

    Args:
        address: Of the events service.
        token: Of a client.
        tracking_id: Where events go.
        count: How many clients.
        pause_seconds: Between two calls of a client.
    """

    def __init__(self, address: str, token: str, tracking_id: str, *, count: int, pause_seconds: float) -> None:
        self._channel = channel(address, token=token)
        self._stub = EventsServiceStub(self._channel)
        self._tracking_id = tracking_id
        self._count = count
        self._pause_seconds = pause_seconds
        self._numbers = itertools.count()

    def send(self, name: str, seconds: float) -> Phase:
        """Send for some seconds; calls that have begun by then are waited for."""
        millis: list[float] = []
        acknowledged: list[bool] = []

        def send_event() -> None:
            started = time.perf_counter()
            answered = self._put()
            millis.append(1000 * (time.perf_counter() - started))
            acknowledged.append(answered)

        repeat_calls(send_event, clients=self._count, seconds=seconds, pause_seconds=self._pause_seconds)
        return Phase(name, tuple(sorted(millis)), sum(acknowledged))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _put(self) -> bool:
        event = events_service_pb2.Event(
            event_type="watch", item_id=f"i{next(self._numbers)}", sent_at=Timestamp(seconds=int(time.time()))
        )
        request = events_service_pb2.PutEventsRequest(
            tracking_id=self._tracking_id, user_id="u", session_id="s", event_list=[event]
        )
        try:
            self._stub.PutEvents(request, timeout=_CALL_SECONDS)
        except grpc.RpcError:
            return False
        return True


def measure(folder: Path, *, clients: int, seconds: float, away_seconds: float, pause_seconds: float) -> list[Phase]:
    """Run both services and return what clients measured.

    Args:
        folder: For everything that is written.
        clients: How many send at a time.
        seconds: Length of each measurement.
        away_seconds: How long the control plane hangs before the second one.
        pause_seconds: Between two calls of a client.
    """
    with (
        running_both_services(folder) as services,
        channel(services.addresses["control_plane"], token=services.token("client")) as opened,
    ):
        tracking_id = make_tracker(ControlPlaneServiceStub(opened))
        address, token = services.addresses["events_service"], services.token("client")
        sender = Clients(address, token, tracking_id, count=clients, pause_seconds=pause_seconds)
        try:
            phases = [sender.send("control plane there", seconds)]
            services.control_plane.send_signal(signal.SIGSTOP)
            sender.send("not measured", away_seconds)
            phases.append(sender.send(f"stopped for {away_seconds:g} s", seconds))
            services.control_plane.kill()
            phases.append(sender.send("dead", seconds))
        finally:
            sender.close()
    return phases


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10, help="how many send at a time")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each of the three measurements")
    parser.add_argument("--away-seconds", type=float, default=18.0, help="how long it hangs before the second one")
    parser.add_argument("--pause-seconds", type=float, default=0.01, help="between two calls of a client")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phases = measure(
            Path(folder),
            clients=arguments.clients,
            seconds=arguments.seconds,
            away_seconds=arguments.away_seconds,
            pause_seconds=arguments.pause_seconds,
        )
    figures = {phase.name: phase.figures() for phase in phases}
    table = markdown_table(
        ("control plane", "calls", "acknowledged %", "p50 ms", "p99 ms"),
        [(name, *row.values()) for name, row in figures.items()],
    )
    publish({"clients": arguments.clients, "phases": figures}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
