"""Nothing of what callers send stands in the log of the process, whatever it is refused for."""

from __future__ import annotations

import signal
import time

import grpc
import pytest

from common.rpc import channel
from common.testing import serving, wait_until
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub
from tests.control_plane.world import avro, column
from tests.events_service.servicers.calling import an_event, moment, put
from tests.events_service.test_process import environment, keys, ready, world

__all__ = ["environment", "keys", "world"]

MARK = "MARKED"
LONG = MARK * 300
#: Of one kind; more are left out.
LINES_PER_SECOND = 10
SOURCE = events_service_pb2.MetricAttribution(event_attribution_source=f"{MARK}\t")
CALLS = [
    {"tracking_id": MARK},
    {"tracking_id": LONG},
    {"user_id": LONG},
    {"session_id": LONG},
    {"session_id": None, "user_id": MARK},
    *(
        {"user_id": MARK, "session_id": MARK, "event_list": [an_event(**{"item_id": MARK, **more})]}
        for more in (
            {"event_type": LONG},
            {"event_type": ""},
            {"event_id": LONG},
            {"item_id": LONG},
            {"recommendation_id": LONG},
            {"impression": [f"{MARK}|"]},
            {"impression": [LONG]},
            {"impression": [MARK] * 30},
            {"metric_attribution": SOURCE},
            {"event_value": float("nan")},
            {"sent_at": moment(-(10**14))},
            {"properties": MARK},
            {"properties": f'{{"{MARK}": '},
            {"properties": f'["{MARK}"]'},
            {"properties": f'{{"{MARK}": {{"{MARK}": "{MARK}"}}}}'},
            {"properties": f'{{"a": "{LONG}"}}'},
            {"properties": f'{{"device": ["{MARK}"]}}'},
            {"properties": f'{{"device": "{MARK}", "size": "{MARK}"}}'},
            {"properties": f'{{"eventValue": "{MARK}"}}'},
            {"properties": f'{{"itemId": "{LONG}"}}'},
        )
    ),
]


@pytest.fixture
def tracking_id(world):
    group = world.group()
    tracker = world.resources.trackers.create("clicks", dataset_group_arn=group)
    fields = [column(name) for name in ("USER_ID", "ITEM_ID", "EVENT_TYPE", "DEVICE")]
    schema = avro("Interactions", *fields, column("SIZE", "int"), column("TIMESTAMP", "long"))
    world.dataset(group, schema=schema)
    return tracker.tracking_id


def is_refused(call, request, *, number=0) -> bool:
    if number % LINES_PER_SECOND == 0:
        # The processes of a machine share this clock: the next second has room for as many lines again.
        second = int(time.monotonic())
        wait_until(lambda: int(time.monotonic()) > second)
    try:
        call(request, timeout=60)
    except grpc.RpcError:
        return True
    return False


def test_rejections_are_logged_without_what_was_sent(environment, keys, world, tracking_id):
    with serving(world.plane.services, keys=keys) as plane:
        environment["TAILORBIRD_CONTROL_PLANE"] = plane.target
        opened = channel(environment["TAILORBIRD_LISTEN"], token=keys.token("client"))
        reader = channel(environment["TAILORBIRD_LISTEN"], token=keys.token("runtime"))
        with ready(environment) as process:
            stub = EventsServiceStub(opened)
            requests = [put(**{"tracking_id": tracking_id, **more}) for more in CALLS]
            refused = [is_refused(stub.PutEvents, request, number=number) for number, request in enumerate(requests)]
            refused += [
                is_refused(
                    stub.PutActionInteractions, events_service_pb2.PutActionInteractionsRequest(tracking_id=MARK)
                ),
                is_refused(EventLogServiceStub(reader).ReadRecords, event_log_pb2.ReadRecordsRequest(from_offset=0)),
                is_refused(opened.unary_unary("/tailorbird.events.v1.EventsService/PutEvents"), MARK.encode()),
            ]
            world.plane.long_polls.close()
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
        opened.close()
        reader.close()

    assert [more for more, was in zip([*CALLS, "action", "read", "bytes"], refused, strict=True) if not was] == []
    assert log.count('"event": "rpc"') == len(refused)
    assert "eventList[0].properties" in log
    assert MARK not in log
