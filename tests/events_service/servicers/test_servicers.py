"""The servicers on a real server: who may call which, flushes, what the log takes."""

from __future__ import annotations

import grpc
import polars as pl
import pytest

from common import columns, errors
from common.operations import missing_operations
from common.positions import START, Position
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import serving
from events_service.dataset_sink import events_frame
from events_service.log.sqlite import SqliteEventLog
from events_service.server import Timing, assemble
from events_service.servicers.events import SERVICE, EventsServicer
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2, local_storage_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub, SealingServiceStub
from protos.tailorbird.internal.v1.local_storage_pb2_grpc import LocalStorageServiceStub
from tests.control_plane.world import ACCOUNT
from tests.events_service.samples import SCHEMA, entries, known_trackers, table
from tests.events_service.servicers.calling import an_event, numbers, put, read, refused


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


@pytest.mark.parametrize("role", ["client", "trainer", "runtime", None])
def test_only_operators_learn_what_the_log_takes(grpc_stub, service, role):
    service.log.append(entries(next(numbers)), seconds=20)
    request = local_storage_pb2.DescribeLocalStorageRequest()
    (part,) = grpc_stub.with_role(LocalStorageServiceStub, "operator").DescribeLocalStorage(request).parts
    assert (part.name, part.records > 0, part.HasField("oldest_record_at")) == ("event log", True, True)

    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.with_role(LocalStorageServiceStub, role).DescribeLocalStorage(request)
    assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
