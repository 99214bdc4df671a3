"""Calls of the events service: requests, callers, and what is refused."""

from __future__ import annotations

import itertools

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from common import errors
from common.rpc import from_rpc_error
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.internal.v1 import event_log_pb2
from tests.control_plane.wire import KEYS
from tests.events_service.samples import NOW_MILLIS, TRACKING_ID, avro, table

MAX_WAITING = 6
STRICT = table("datasets/strict", avro(("USER_ID", "string"), ("DEVICE", "string")))
numbers = itertools.count()


def fresh() -> str:
    return f"i{next(numbers)}"


def moment(millis: int = NOW_MILLIS) -> Timestamp:
    return Timestamp(seconds=millis // 1000, nanos=millis % 1000 * 1_000_000)


def an_event(**more) -> events_service_pb2.Event:
    return events_service_pb2.Event(**{"event_type": "watch", "item_id": fresh(), "sent_at": moment(), **more})


def put(*events, **more) -> events_service_pb2.PutEventsRequest:
    values = {"tracking_id": TRACKING_ID, "user_id": "u", "session_id": "s", "event_list": events or [an_event()]}
    return events_service_pb2.PutEventsRequest(**{**values, **more})


def read(from_offset: int, **more) -> event_log_pb2.ReadRecordsRequest:
    return event_log_pb2.ReadRecordsRequest(from_offset=from_offset, **more)


def as_metadata(role: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {KEYS.token(role)}")]


def refused(call, request) -> errors.TailorbirdError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return from_rpc_error(caught.value)


class Reader:
    """A call of ReadRecords that waits for the log's next event."""

    def __init__(self, stub, service, seconds=60.0) -> None:
        metadata = [("authorization", f"Bearer {KEYS.token('runtime')}")]
        request = read(service.log.bounds().end, wait_seconds=seconds)
        self.call = stub.raw_log.ReadRecords.future(request, metadata=metadata, timeout=120)

    def events(self) -> int:
        return len(self.call.result(timeout=60).records)
