"""Calls of PutEvents, PutItems and PutUsers that are all different, prepared as bytes before they are timed.

Event ids de-duplicate, so a load that repeats one body would measure something else.
"""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.tailorbird.control.v1 import dataset_group_pb2, dataset_pb2, event_tracker_pb2, schema_pb2
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.events.v1 import events_service_pb2

__all__ = ["KINDS", "RECORDS", "Kind", "Targets", "first_id", "make_targets", "requests"]

#: Of one call: the most that there may be.
RECORDS: Final = 10
_ITEMS: Final = 5000
_BEGIN: Final = 1_790_000_000
_DEVICES: Final = ("television", "phone", "tablet")
_COLUMNS: Final = MappingProxyType(
    {
        "Interactions": [
            ("USER_ID", "string"),
            ("ITEM_ID", "string"),
            ("TIMESTAMP", "long"),
            ("EVENT_TYPE", "string"),
            ("EVENT_VALUE", ["null", "float"]),
            ("DEVICE", ["null", "string"]),
        ],
        "Items": [
            ("ITEM_ID", "string"),
            ("GENRES", ["null", "string"]),
            ("PRICE", ["null", "float"]),
            ("CREATION_TIMESTAMP", ["null", "long"]),
        ],
        "Users": [
            ("USER_ID", "string"),
            ("GENDER", ["null", "string"]),
            ("AGE", ["null", "int"]),
        ],
    }
)


@dataclass(frozen=True, slots=True)
class Targets:
    """Where puts go.

    Attributes:
        group: ARN of the dataset group.
        tracking_id: Of an event tracker.
        items: ARN of a dataset of items.
        users: ARN of a dataset of users.
    """

    group: str
    tracking_id: str
    items: str
    users: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the calls that are made.

    Attributes:
        method: Full name as on the wire.
        target: Attribute of `Targets` that it goes to.
        request: Makes the request of a number, given the target and a source of chance.
    """

    method: str
    target: str
    request: Callable[[int, str, random.Random], Message]


def make_targets(control_plane: ControlPlaneServiceStub) -> Targets:
    """Make a dataset group with datasets of interactions and of items, and a tracker."""
    group = control_plane.CreateDatasetGroup(dataset_group_pb2.CreateDatasetGroupRequest(name="puts")).dataset_group_arn
    arns = {}
    for dataset_type, columns in _COLUMNS.items():
        fields: list[dict[str, Any]] = [{"name": name, "type": of_type} for name, of_type in columns]
        for item in fields:
            if item["name"] in ("GENRES", "DEVICE", "GENDER"):
                item["categorical"] = True
        text = json.dumps({"type": "record", "name": dataset_type, "fields": fields, "version": "1.0"})
        schema = control_plane.CreateSchema(schema_pb2.CreateSchemaRequest(name=dataset_type, schema=text)).schema_arn
        request = dataset_pb2.CreateDatasetRequest(
            name=dataset_type, schema_arn=schema, dataset_group_arn=group, dataset_type=dataset_type
        )
        arns[dataset_type] = control_plane.CreateDataset(request).dataset_arn
    tracker = event_tracker_pb2.CreateEventTrackerRequest(name="puts", dataset_group_arn=group)
    tracking_id = control_plane.CreateEventTracker(tracker).tracking_id
    return Targets(group, tracking_id, arns["Items"], arns["Users"])


def requests(kind: Kind, target: str, *, seed: int) -> Iterator[Message]:
    """Yield calls that differ from one another, and from those of every other seed, without end."""
    drawn = random.Random(seed)
    for number in itertools.count():
        yield kind.request(_number(seed, number), target, drawn)


def first_id(name: str, seed: int, number: int) -> str:
    """Return the id that the call of a number shows itself by: of the user of events, of the first item or user.

    Args:
        name: One of `KINDS`.
        seed: That of `requests`.
        number: Of the call among those, from 0.
    """
    identifier = f"{_PREFIXES[name]}-{_number(seed, number)}"
    return identifier if name == "PutEvents" else f"{identifier}-0"


def _number(seed: int, number: int) -> int:
    return seed * 1_000_000 + number


def _events(number: int, tracking_id: str, drawn: random.Random) -> Message:
    return events_service_pb2.PutEventsRequest(
        tracking_id=tracking_id,
        user_id=f"user-{number}",
        session_id=f"session-{number}",
        event_list=[
            events_service_pb2.Event(
                event_type="watch",
                event_id=str(uuid.UUID(int=drawn.getrandbits(128), version=4)),
                event_value=drawn.randrange(1, 100) / 10,
                item_id=f"item-{drawn.randrange(_ITEMS)}",
                sent_at=Timestamp(seconds=_BEGIN + place),
                properties=json.dumps({"device": drawn.choice(_DEVICES)}),
            )
            for place in range(RECORDS)
        ],
    )


def _items(number: int, dataset_arn: str, drawn: random.Random) -> Message:
    items = [
        events_service_pb2.Item(
            item_id=f"item-{number}-{place}",
            properties=json.dumps(
                {
                    "genres": f"{drawn.choice(_DEVICES)}|drama",
                    "price": drawn.randrange(1000) / 10,
                    "creationTimestamp": _BEGIN + number % 1_000_000,
                }
            ),
        )
        for place in range(RECORDS)
    ]
    return events_service_pb2.PutItemsRequest(dataset_arn=dataset_arn, items=items)


def _users(number: int, dataset_arn: str, drawn: random.Random) -> Message:
    users = [
        events_service_pb2.User(
            user_id=f"person-{number}-{place}",
            properties=json.dumps({"gender": drawn.choice("fm"), "age": drawn.randrange(18, 80)}),
        )
        for place in range(RECORDS)
    ]
    return events_service_pb2.PutUsersRequest(dataset_arn=dataset_arn, users=users)


_PREFIXES: Final = MappingProxyType({"PutEvents": "user", "PutItems": "item", "PutUsers": "person"})
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "PutEvents": Kind("/tailorbird.events.v1.EventsService/PutEvents", "tracking_id", _events),
        "PutItems": Kind("/tailorbird.events.v1.EventsService/PutItems", "items", _items),
        "PutUsers": Kind("/tailorbird.events.v1.EventsService/PutUsers", "users", _users),
    }
)
