"""An events service on a real server (pytest-grpc in real mode), one for each file of tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from common.clock import ManualClock
from common.settings import StoreSettings
from common.storage.objects import open_store
from events_service.log.sqlite import SqliteEventLog
from events_service.server import Timing, assemble
from events_service.trackers import Tracker
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub, SealingServiceStub
from tests.control_plane.wire import As
from tests.events_service.samples import GROUP, known_trackers, tracker
from tests.events_service.servicers.calling import MAX_WAITING, STRICT


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
