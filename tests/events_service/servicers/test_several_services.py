"""Several events services with one log: each takes records and flushes, one of them consumes."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest

from common import columns
from common.tables import Table
from common.testing import serving, wait_until
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.stream_target import StreamTarget
from events_service.server import Timing, assemble
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import SealingServiceStub
from tests.control_plane.world import ACCOUNT
from tests.events_service.nats import running_nats
from tests.events_service.samples import SINK, entries, known_trackers, table
from tests.events_service.servicers.calling import an_event, put

LOCATION = table().location


@pytest.fixture
def logs(tmp_path, clock):
    with running_nats() as server:
        target = StreamTarget(server.url)
        with (
            closing(JetStreamEventLog(target, tmp_path / "a", clock=clock, lease_seconds=1)) as one,
            closing(JetStreamEventLog(target, tmp_path / "b", clock=clock, lease_seconds=1)) as two,
        ):
            wait_until(lambda: one.consumes() or two.consumes())
            yield (one, two) if one.consumes() else (two, one)


@contextmanager
def service(log, store):
    made = assemble(log, store, known_trackers(), timing=Timing(flush_seconds=0.01))
    made.start()
    try:
        with serving(made.services, account=ACCOUNT) as server:
            yield server
    finally:
        made.polls.close()
        made.stop()


def test_one_that_does_not_consume_takes_and_flushes_and_consumes_after_the_other(logs, store):
    holder, another = logs
    films = Table(store, LOCATION)
    with service(another, store) as server:
        with server.channel("client") as sender:
            EventsServiceStub(sender).PutEvents(put(an_event()), timeout=60)
        assert not films.exists()

        with server.channel("trainer") as trainer:
            for number in range(2, 20):
                # What another one has just acknowledged is flushed, too.
                holder.append(entries(number), seconds=20)
                request = event_log_pb2.FlushTableRequest(location=LOCATION)
                flushed = SealingServiceStub(trainer).FlushTable(request, timeout=60)
                assert (flushed.offset, flushed.log_offset) == (number, number)
        assert films.read()[columns.LOG_OFFSET].sort().to_list() == list(range(1, 20))

        holder.append(entries(20), seconds=20)
        holder.close()
        wait_until(lambda: films.read().height == 20)
        wait_until(lambda: another.lag(SINK, LOCATION) is None)
