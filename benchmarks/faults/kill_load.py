"""The load of `kills`: clients that put events, items and users, and repeat each call until it is acknowledged."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from common.rpc import channel
from protos.tailorbird.control.v1 import dataset_group_pb2, dataset_pb2, event_tracker_pb2, schema_pb2
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub

__all__ = ["ENTITIES", "EVENTS_OF_A_USER", "Load", "Resources", "make_resources"]

#: The columns of the id and of the number that is put, by type of dataset.
ENTITIES = {"ITEMS": "ITEM_ID", "USERS": "USER_ID"}
_FIELDS = {
    "INTERACTIONS": [("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long")],
    **{kind: [(key, "string"), ("NUMBER", "int")] for kind, key in ENTITIES.items()},
}
_CALL_SECONDS = 5.0
_REPEAT_SECONDS = 0.01
_MOST_RECORDS = 5
#: Events of one user, as many as a runtime keeps.
EVENTS_OF_A_USER = 100
_ENTITIES_OF_A_CLIENT = 30
#: What a service that is killed, starts, or is busy answers; all else ends the measurement.
_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, slots=True)
class Resources:
    """Where the load goes.

    Attributes:
        group_arn: The dataset group.
        tracking_id: Of events.
        arns: Of the datasets, by type.
    """

    group_arn: str
    tracking_id: str
    arns: dict[str, str]


@dataclass(slots=True)
class _Sent:
    """What one client has sent, all of it acknowledged at the end.

    Attributes:
        events: The user of each event, by its id, which is that of its item as well.
        newest: The number that was put last, by type and id.
        calls: That were acknowledged.
        repeated: Attempts that were not.
    """

    events: dict[str, str] = field(default_factory=dict)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    calls: int = 0
    repeated: int = 0


def make_resources(control_plane: ControlPlaneServiceStub) -> Resources:
    """Make a dataset group with datasets of interactions, items and users, and a tracker."""
    group = control_plane.CreateDatasetGroup(dataset_group_pb2.CreateDatasetGroupRequest(name="kills"))
    arns = {}
    for kind, fields in _FIELDS.items():
        listed = [{"name": name, "type": of} for name, of in fields]
        document = {"type": "record", "name": kind.title(), "version": "1.0", "fields": listed}
        schema = control_plane.CreateSchema(schema_pb2.CreateSchemaRequest(name=kind, schema=json.dumps(document)))
        arns[kind] = control_plane.CreateDataset(
            dataset_pb2.CreateDatasetRequest(
                name=kind,
                schema_arn=schema.schema_arn,
                dataset_group_arn=group.dataset_group_arn,
                dataset_type=kind.title(),
            )
        ).dataset_arn
    tracker = control_plane.CreateEventTracker(
        event_tracker_pb2.CreateEventTrackerRequest(name="kills", dataset_group_arn=group.dataset_group_arn)
    )
    return Resources(group.dataset_group_arn, tracker.tracking_id, arns)


class Load:
    """Clients, each a thread with a connection of its own.

    Args:
        address: Of the events service.
        token: Of a client.
        resources: Where the load goes.
        clients: How many put each of events, items and users.
        pause_seconds: Between two calls of a client.
        seed: Of what is put.
    """

    def __init__(
        self, address: str, token: str, resources: Resources, *, clients: int, pause_seconds: float, seed: int
    ) -> None:
        self._address = address
        self._token = token
        self._resources = resources
        self._pause_seconds = pause_seconds
        self._over, self._given_up = threading.Event(), threading.Event()
        self._failures: list[BaseException] = []
        self._sent: list[_Sent] = []
        works = [kind for kind in _FIELDS for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._run, args=[kind, f"{number}", random.Random(seed + number)])
            for number, kind in enumerate(works)
        ]

    def stop(self) -> None:
        """End all clients, each after the acknowledgement of what it has begun to put.

        Raises:
            RpcError: A call was refused for good.
        """
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the clients; those that still run at the end are stopped at once, with nothing more acknowledged."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._given_up.set()
            for thread in self._threads:
                thread.join()

    def acknowledged(self) -> int:
        """Return how many calls were acknowledged so far; errors of `stop`."""
        if self._failures:
            raise self._failures[0]
        return sum(sent.calls for sent in self._sent)

    def repeated(self) -> int:
        """Return how many attempts were not acknowledged."""
        return sum(sent.repeated for sent in self._sent)

    def events(self) -> dict[str, str]:
        """Return the user of each event that was sent, by its id, which is that of its item as well."""
        return {one: user for sent in self._sent for one, user in sent.events.items()}

    def newest(self) -> dict[tuple[str, str], int]:
        """Return the number that was put last, by type of dataset and id."""
        return {key: number for sent in self._sent for key, number in sent.newest.items()}

    def _run(self, kind: str, name: str, dice: random.Random) -> None:
        sent = _Sent()
        self._sent.append(sent)
        try:
            with channel(self._address, token=self._token) as opened:
                stub = EventsServiceStub(opened)
                put = {"INTERACTIONS": self._put_events, "ITEMS": self._put_items, "USERS": self._put_users}[kind]
                while not self._over.wait(self._pause_seconds):
                    self._repeated(put(stub, sent, name, dice), sent)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._failures.append(error)

    def _repeated(self, call: Callable[[], object], sent: _Sent) -> None:
        while not self._given_up.is_set():
            try:
                call()
            except grpc.RpcError as error:
                if error.code() not in _PASSING:
                    raise
                sent.repeated += 1
                self._given_up.wait(_REPEAT_SECONDS)
            else:
                sent.calls += 1
                return

    def _put_events(self, stub: EventsServiceStub, sent: _Sent, name: str, dice: random.Random) -> Callable[[], object]:
        user = f"{name}-{len(sent.events) // EVENTS_OF_A_USER}"
        count = min(dice.randint(1, _MOST_RECORDS), EVENTS_OF_A_USER - len(sent.events) % EVENTS_OF_A_USER)
        ids = [f"{name}-{len(sent.events) + place}" for place in range(count)]
        sent.events |= dict.fromkeys(ids, user)
        moment = Timestamp(seconds=int(time.time()))
        request = events_service_pb2.PutEventsRequest(
            tracking_id=self._resources.tracking_id,
            user_id=user,
            session_id=user,
            event_list=[
                events_service_pb2.Event(event_id=one, event_type="watch", item_id=one, sent_at=moment) for one in ids
            ],
        )
        return lambda: stub.PutEvents(request, timeout=_CALL_SECONDS)

    def _put_items(self, stub: EventsServiceStub, sent: _Sent, name: str, dice: random.Random) -> Callable[[], object]:
        items = [
            events_service_pb2.Item(item_id=one, properties=properties)
            for one, properties in _numbered("ITEMS", sent, name, dice)
        ]
        request = events_service_pb2.PutItemsRequest(dataset_arn=self._resources.arns["ITEMS"], items=items)
        return lambda: stub.PutItems(request, timeout=_CALL_SECONDS)

    def _put_users(self, stub: EventsServiceStub, sent: _Sent, name: str, dice: random.Random) -> Callable[[], object]:
        users = [
            events_service_pb2.User(user_id=one, properties=properties)
            for one, properties in _numbered("USERS", sent, name, dice)
        ]
        request = events_service_pb2.PutUsersRequest(dataset_arn=self._resources.arns["USERS"], users=users)
        return lambda: stub.PutUsers(request, timeout=_CALL_SECONDS)


def _numbered(kind: str, sent: _Sent, name: str, dice: random.Random) -> Sequence[tuple[str, str]]:
    """Return ids of a client, each with properties that hold the next number of that id."""
    chosen = dice.sample(range(_ENTITIES_OF_A_CLIENT), dice.randint(1, _MOST_RECORDS))
    numbered = []
    for place in chosen:
        one = f"{name}-{place}"
        number = sent.newest[kind, one] = sent.newest.get((kind, one), 0) + 1
        numbered.append((one, json.dumps({"number": number})))
    return numbered
