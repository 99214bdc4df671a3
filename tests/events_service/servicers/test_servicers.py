"""The servicers on a real server (pytest-grpc in real mode): PutEvents, reading the log, waiting, rejections, roles."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from contextlib import closing
from types import SimpleNamespace

import grpc
import polars as pl
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from common import columns, errors
from common.clock import ManualClock
from common.event_offsets import OFFSET_KEY
from common.operations import missing_operations
from common.positions import START, Position
from common.rpc import from_rpc_error
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import serving, wait_until
from events_service.dataset_sink import events_frame
from events_service.log import LogEntry, LogTable, RecordKind
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.server import Timing, assemble
from events_service.servicers.events import SERVICE, EventsServicer
from events_service.trackers import Tracker
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2, local_storage_pb2, records_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub, SealingServiceStub
from protos.tailorbird.internal.v1.local_storage_pb2_grpc import LocalStorageServiceStub
from tests.control_plane.wire import KEYS, As
from tests.control_plane.world import ACCOUNT
from tests.events_service.samples import (
    GROUP,
    NOW_MILLIS,
    SCHEMA,
    TRACKING_ID,
    avro,
    entries,
    known_trackers,
    table,
    tracker,
)

MAX_WAITING = 6
STRICT = table("datasets/strict", avro(("USER_ID", "string"), ("DEVICE", "string")))
_numbers = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    clock = ManualClock()
    log = SqliteEventLog(folder / "log", clock=clock)
    trackers = known_trackers()
    trackers.trackers |= {"no-dataset": Tracker(GROUP), "strict": tracker(STRICT)}
    store = open_store(StoreSettings(store_url=str(folder / "store")))
    made = assemble(log, store, trackers, timing=Timing(max_waiting=MAX_WAITING))
    made.trackers.start()
    yield SimpleNamespace(
        services=made.services, log=log, store=store, polls=made.polls, trackers=made.trackers, folder=folder
    )
    made.trackers.stop()
    log.close()


@pytest.fixture(scope="module")
def grpc_servicer(service):
    return service


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return lambda channel: SimpleNamespace(
        events=As(EventsServiceStub(channel), "client"),
        log=As(EventLogServiceStub(channel), "runtime"),
        sink=As(SealingServiceStub(channel), "trainer"),
        raw_log=EventLogServiceStub(channel),
        raw_events=EventsServiceStub(channel),
        with_role=lambda stub, role: As(stub(channel), role),
    )


def fresh() -> str:
    return f"i{next(_numbers)}"


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


def test_no_operation_is_missing():
    assert not missing_operations(EventsServicer, SERVICE)


@pytest.mark.parametrize(
    ("stub", "method", "request_", "role"),
    [
        (EventsServiceStub, "PutEvents", put(), "runtime"),
        (EventsServiceStub, "PutEvents", put(), "trainer"),
        (EventLogServiceStub, "ReadRecords", read(1), "client"),
        (EventLogServiceStub, "ReadRecords", read(1), "gateway"),
        (SealingServiceStub, "FlushTable", event_log_pb2.FlushTableRequest(location="x"), "runtime"),
        (SealingServiceStub, "FlushTable", event_log_pb2.FlushTableRequest(location="x"), "client"),
    ],
)
def test_each_service_is_for_its_own_callers(grpc_stub, stub, method, request_, role):
    error = refused(getattr(grpc_stub.with_role(stub, role), method), request_)

    assert type(error) is errors.PermissionDenied


def test_nobody_calls_without_a_token(grpc_stub):
    error = refused(grpc_stub.with_role(EventsServiceStub, None).PutEvents, put())

    assert type(error) is errors.Unauthenticated


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"from_offset": 0}, "from_offset"),
        ({"from_offset": -5}, "from_offset"),
        ({"from_offset": None}, "from_offset"),
        ({"from_offset": 1, "max_records": 0}, "max_records"),
        ({"from_offset": 1, "max_records": 10_001}, "max_records"),
        ({"from_offset": 1, "wait_seconds": -1}, "wait_seconds"),
        ({"from_offset": 1, "wait_seconds": 61}, "wait_seconds"),
        ({"from_offset": 1, "wait_seconds": float("nan")}, "wait_seconds"),
    ],
)
def test_malformed_reads_are_refused_with_the_field_named(grpc_stub, more, field):
    error = refused(grpc_stub.log.ReadRecords, event_log_pb2.ReadRecordsRequest(**more))

    assert type(error) is errors.InvalidInput
    assert f"`{field}`" in error.message


def test_pages_join_without_gap_or_repeat(service, grpc_stub):
    start = service.log.bounds().end
    grpc_stub.events.PutEvents(put(*[an_event() for _ in range(7)]))

    seen, offset = [], start
    while page := grpc_stub.log.ReadRecords(read(offset, max_records=3)).records:
        seen += [logged.offset for logged in page]
        offset = seen[-1] + 1

    assert seen == list(range(start, start + 7))


def test_damaged_record_keeps_no_other_from_readers(service, grpc_stub):
    start = service.log.bounds().end
    grpc_stub.events.PutEvents(put(an_event()))
    service.log.append([LogEntry(table(), RecordKind.EVENT, b"\xff\xff")], seconds=20)
    grpc_stub.events.PutEvents(put(an_event()))

    page = grpc_stub.log.ReadRecords(read(start, max_records=10))

    assert [record.offset for record in page.records] == [start, start + 2]
    assert page.next_offset == start + 3


def test_page_of_large_events_is_cut_below_the_size_of_a_message(service, grpc_stub):
    start = service.log.bounds().end
    wide = "\U0001f3ac"
    properties = json.dumps({"a": wide * 1000}, ensure_ascii=False)
    for _ in range(60):
        events = [an_event(properties=properties, impression=[wide * 39 for _ in range(24)]) for _ in range(10)]
        grpc_stub.events.PutEvents(put(*events))

    first = grpc_stub.log.ReadRecords(read(start, max_records=10_000))
    second = grpc_stub.log.ReadRecords(read(first.next_offset, max_records=10_000))

    assert 0 < len(first.records) < 600
    assert len(first.records) + len(second.records) == 600
    assert second.records[0].offset == first.records[-1].offset + 1


def test_read_without_a_wait_returns_at_once(service, grpc_stub):
    end = service.log.bounds().end

    response = grpc_stub.log.ReadRecords(read(end))

    assert (list(response.records), response.next_offset) == ([], end)


def test_wait_without_an_event_ends_empty(service, grpc_stub):
    end = service.log.bounds().end

    response = grpc_stub.log.ReadRecords(read(end, wait_seconds=0.05))

    assert (list(response.records), response.next_offset) == ([], end)


def test_offset_of_a_longer_log_returns_the_end_of_this_one(service, grpc_stub):
    end = service.log.bounds().end

    response = grpc_stub.log.ReadRecords(read(end + 100, wait_seconds=60))

    assert (list(response.records), response.next_offset) == ([], end)


def test_events_are_taken_while_more_readers_wait_than_there_are_places(service, grpc_stub):
    readers = [Reader(grpc_stub, service) for _ in range(24)]
    wait_until(lambda: service.polls.n_waiting == MAX_WAITING)
    wait_until(lambda: sum(reader.call.done() for reader in readers) == 24 - MAX_WAITING)

    grpc_stub.events.PutEvents(put())

    counts = [reader.events() for reader in readers]
    assert sorted(counts) == [0] * (24 - MAX_WAITING) + [1] * MAX_WAITING
    wait_until(lambda: service.polls.n_waiting == 0)


def test_reader_that_leaves_gives_its_place_back_at_once(service, grpc_stub):
    readers = [Reader(grpc_stub, service) for _ in range(3)]
    wait_until(lambda: service.polls.n_waiting == 3)

    readers[0].call.cancel()
    wait_until(lambda: service.polls.n_waiting == 2)

    grpc_stub.events.PutEvents(put())
    assert [reader.events() for reader in readers[1:]] == [1, 1]


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


def test_reader_with_another_epoch_gets_the_lineage(service, grpc_stub):
    grpc_stub.events.PutEvents(put())
    lineage = service.log.lineage()
    same = grpc_stub.log.ReadRecords(read(1, max_records=1, known_epoch=lineage.current))
    other = grpc_stub.log.ReadRecords(read(1, max_records=1, known_epoch=1))
    unaware = grpc_stub.log.ReadRecords(read(1, max_records=1))

    assert [(item.epoch, item.first_offset) for item in other.epochs] == [(lineage.current, 1)]
    assert not same.epochs
    assert not unaware.epochs


def test_flushed_table_has_every_event_that_was_acknowledged_before(service, grpc_stub):
    grpc_stub.events.PutEvents(put(an_event(), an_event()))
    last = service.log.bounds().end - 1

    response = grpc_stub.sink.FlushTable(event_log_pb2.FlushTableRequest(location=table().location))

    assert (response.epoch, response.offset) == (service.log.lineage().current, last)
    assert [(item.epoch, item.first_offset) for item in response.epochs] == [(response.epoch, 1)]
    assert Table(service.store, table().location).event_position().offset == last


def test_flush_tells_an_offset_above_all_rows_that_another_log_has_written(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "log", clock=clock)
    store = open_store(StoreSettings(store_url=str(tmp_path / "store")))
    log.append(entries(1), seconds=20)
    rows = events_frame(log.read(1, max_records=1).records, SCHEMA).with_columns(pl.lit(40).alias(columns.LOG_OFFSET))
    Table(store, table().location).append_events(rows, Position(77, 30), after=START)
    made = assemble(log, store, known_trackers(), timing=Timing())
    with serving(made.services, account=ACCOUNT) as server, server.channel("trainer") as trainer:
        request = event_log_pb2.FlushTableRequest(location=table().location)
        response = SealingServiceStub(trainer).FlushTable(request, timeout=60)
    log.close()

    assert response.log_offset > 40


def test_flush_without_a_location_is_refused(grpc_stub):
    error = refused(grpc_stub.sink.FlushTable, event_log_pb2.FlushTableRequest())

    assert [item.field for item in error.violations] == ["location"]


def test_offset_that_was_removed_is_out_of_range_with_the_earliest_that_is_kept(tmp_path, clock):
    def seconds() -> float:
        return clock.now().timestamp()

    log = SqliteEventLog(tmp_path / "log", clock=clock, monotonic=seconds)
    trackers = known_trackers(LogTable("datasets/x", GROUP, table().schema))
    store = open_store(StoreSettings(store_url=str(tmp_path / "store")))
    made = assemble(log, store, trackers, timing=Timing(), monotonic=seconds)
    made.trackers.start()
    with (
        serving(made.services, account=ACCOUNT) as server,
        server.channel("client") as sender,
        server.channel("runtime") as reader,
        server.channel("trainer") as trainer,
    ):
        EventsServiceStub(sender).PutEvents(put(an_event(), an_event()), timeout=60)
        SealingServiceStub(trainer).FlushTable(event_log_pb2.FlushTableRequest(location="datasets/x"), timeout=60)
        made.maintenance.sweep()
        clock.advance(seconds=86_400 * 365)
        made.maintenance.sweep()
        error = refused(EventLogServiceStub(reader).ReadRecords, read(1))
        at_the_end = EventLogServiceStub(reader).ReadRecords(read(3), timeout=60)
    made.trackers.stop()
    log.close()

    assert type(error) is errors.OffsetOutOfRange
    assert error.metadata["earliest_offset"] == "3"
    assert at_the_end.next_offset == 3


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


@pytest.mark.parametrize("role", ["client", "trainer", "runtime", None])
def test_only_operators_learn_what_the_log_takes(grpc_stub, service, role):
    service.log.append(entries(next(_numbers)), seconds=20)
    request = local_storage_pb2.DescribeLocalStorageRequest()
    (part,) = grpc_stub.with_role(LocalStorageServiceStub, "operator").DescribeLocalStorage(request).parts
    assert (part.name, part.records > 0, part.HasField("oldest_record_at")) == ("event log", True, True)

    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.with_role(LocalStorageServiceStub, role).DescribeLocalStorage(request)
    assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
