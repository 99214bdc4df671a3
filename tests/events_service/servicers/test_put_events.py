"""PutEvents on a real server: what is in the log, what is refused, whom it waits for."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from common import errors
from common.event_offsets import OFFSET_KEY
from common.rpc import from_rpc_error
from common.testing import wait_until
from events_service.log.sqlite import DATABASE
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import records_pb2
from tests.control_plane.wire import KEYS
from tests.events_service.samples import GROUP, NOW_MILLIS, TRACKING_ID
from tests.events_service.servicers.calling import an_event, as_metadata, put, read, refused


def test_dataset_is_held_until_the_records_are_written_although_the_caller_left(service, grpc_stub):
    metadata = [("authorization", f"Bearer {KEYS.token('client')}")]
    end = service.log.bounds().end
    with closing(sqlite3.connect(service.folder / "log" / DATABASE, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        call = grpc_stub.raw_events.PutEvents.future(put(), metadata=metadata, timeout=60)
        wait_until(lambda: service.trackers._set.users == 1 and not service.log._writer._queue)
        call.cancel()
        # The server's part of the call is over before that of one that begins later.
        assert isinstance(refused(grpc_stub.events.PutEvents, put(user_id="")), errors.InvalidInput)
        assert service.trackers._set.users == 1
        held.execute("COMMIT")

    wait_until(lambda: service.trackers._set.users == 0)
    assert service.log.bounds().end == end + 1


def test_refused_call_does_not_hold_its_dataset(service, grpc_stub):
    refused(grpc_stub.events.PutEvents, put(user_id=""))

    wait_until(lambda: service.trackers._set.users == 0)


def test_events_are_in_the_log_when_the_call_is_answered(service, grpc_stub):
    start = service.log.bounds().end
    full = an_event(
        item_id="film",
        event_id="mine",
        event_value=0.5,
        properties='{"numRatings": 3}',
        recommendation_id="RID-1",
        impression=["a", "b"],
        metric_attribution=events_service_pb2.MetricAttribution(event_attribution_source="front page"),
    )

    grpc_stub.events.PutEvents(put(full, an_event(item_id="other")))

    response = grpc_stub.log.ReadRecords(read(start))
    first, second = response.records
    assert first == records_pb2.LoggedRecord(
        offset=start,
        tracking_id=TRACKING_ID,
        dataset_group_arn=GROUP,
        event=records_pb2.EventRecord(
            event_id="mine",
            user_id="u",
            session_id="s",
            event_type="watch",
            event_value=0.5,
            item_id="film",
            sent_at_millis=NOW_MILLIS,
            properties_json='{"numRatings":3}',
            impression=["a", "b"],
            recommendation_id="RID-1",
            attribution_source="front page",
        ),
    )
    assert (second.offset, second.event.item_id, second.event.HasField("event_value")) == (start + 1, "other", False)
    assert response.next_offset == start + 2


def test_event_before_log_in_has_no_user(service, grpc_stub):
    start = service.log.bounds().end
    request = put()
    request.ClearField("user_id")

    grpc_stub.events.PutEvents(request)

    (logged,) = grpc_stub.log.ReadRecords(read(start)).records
    assert not logged.event.HasField("user_id")
    assert logged.event.session_id == "s"


def test_an_acknowledgement_tells_the_position_of_the_last_record(service, grpc_stub):
    metadata, request = as_metadata("client"), put(an_event(), an_event(event_id="told"))

    calls = [grpc_stub.raw_events.PutEvents.with_call(request, metadata=metadata, timeout=60)[1] for _ in range(2)]

    offsets = [dict(answer.trailing_metadata())[OFFSET_KEY] for answer in calls]
    assert offsets == 2 * [str(service.log.lineage().at(service.log.bounds().end - 1))]


def test_repeated_call_adds_nothing(service, grpc_stub):
    request = put()
    grpc_stub.events.PutEvents(request)
    end = service.log.bounds().end

    grpc_stub.events.PutEvents(request)

    assert service.log.bounds().end == end


def test_call_with_one_bad_event_adds_nothing(service, grpc_stub):
    end = service.log.bounds().end

    error = refused(grpc_stub.events.PutEvents, put(an_event(), an_event(event_type="")))

    assert type(error) is errors.InvalidInput
    assert [violation.field for violation in error.violations] == ["eventList[1].eventType"]
    assert service.log.bounds().end == end


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"tracking_id": None}, errors.InvalidInput, "`trackingId`"),
        ({"tracking_id": "unknown"}, errors.ResourceNotFound, "`trackingId`"),
        ({"tracking_id": "no-dataset"}, errors.ResourceNotFound, "no Interactions dataset"),
        ({"tracking_id": "strict"}, errors.InvalidInput, "`eventList[0].properties.device`"),
        ({"session_id": None}, errors.InvalidInput, "`sessionId`"),
        ({"user_id": ""}, errors.InvalidInput, "`userId`"),
        ({"event_list": []}, errors.InvalidInput, "`eventList`"),
        ({"event_list": [events_service_pb2.Event(event_type="x")]}, errors.InvalidInput, "`eventList[0].sentAt`"),
        ({"event_list": [events_service_pb2.Event(sent_at=Timestamp())]}, errors.InvalidInput, "[0].eventType`"),
    ],
)
def test_bad_calls_are_refused_by_name(grpc_stub, fields, kind, text):
    error = refused(grpc_stub.events.PutEvents, put(**fields))

    assert type(error) is kind
    assert text in error.message


def test_many_senders_at_once_are_all_kept(service, grpc_stub):
    start = service.log.bounds().end
    threads = [
        threading.Thread(target=lambda: [grpc_stub.events.PutEvents(put()) for _ in range(20)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(service.log.read(start, max_records=1000).records) == 160


def test_tracking_id_of_another_account_is_like_none(service, grpc_stub, grpc_channel):
    foreign = [("authorization", f"Bearer {KEYS.token('client', account='999999999999')}")]
    before = service.log.bounds().end
    stub = EventsServiceStub(grpc_channel)

    def answer(request):
        with pytest.raises(grpc.RpcError) as caught:
            stub.PutEvents(request, metadata=foreign, timeout=60)
        error = from_rpc_error(caught.value)
        return type(error), error.message.replace(request.tracking_id, "ID")

    unknown = answer(put(tracking_id="unknown"))

    assert unknown == answer(put()) == answer(put(tracking_id="strict")) == answer(put(tracking_id="no-dataset"))
    assert unknown[0] is errors.ResourceNotFound
    assert service.log.bounds().end == before
    grpc_stub.events.PutEvents(put())
