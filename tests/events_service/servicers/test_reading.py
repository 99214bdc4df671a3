"""ReadRecords on a real server: pages, waits, places in the log that are not there."""

from __future__ import annotations

import json

import pytest

from common import errors
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import serving, wait_until
from events_service.log import LogEntry, LogTable, RecordKind
from events_service.log.sqlite import SqliteEventLog
from events_service.server import Timing, assemble
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub, SealingServiceStub
from tests.control_plane.world import ACCOUNT
from tests.events_service.samples import GROUP, known_trackers, table
from tests.events_service.servicers.calling import MAX_WAITING, Reader, an_event, put, read, refused


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


def test_reader_with_another_epoch_gets_the_lineage(service, grpc_stub):
    grpc_stub.events.PutEvents(put())
    lineage = service.log.lineage()
    same = grpc_stub.log.ReadRecords(read(1, max_records=1, known_epoch=lineage.current))
    other = grpc_stub.log.ReadRecords(read(1, max_records=1, known_epoch=1))
    unaware = grpc_stub.log.ReadRecords(read(1, max_records=1))

    assert [(item.epoch, item.first_offset) for item in other.epochs] == [(lineage.current, 1)]
    assert not same.epochs
    assert not unaware.epochs


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
