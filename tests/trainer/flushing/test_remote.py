"""Before a training the events service flushes acknowledged events into the dataset."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from common.errors import InvalidInput, OperationUnavailable, PermissionDenied, Throttled, Unavailable
from common.positions import Epoch, Lineage
from common.rpc import Service, channel
from common.testing import make_keys, serving
from protos.tailorbird.internal.v1 import event_log_pb2, event_log_pb2_grpc
from trainer.flushing import Flushed
from trainer.flushing.calls import SealingCalls
from trainer.flushing.remote import RemoteFlusher
from trainer.worker import CancelReason, JobCancelled, NullJobContext

LOCATION = "datasets/group/INTERACTIONS"


class Sealing(event_log_pb2_grpc.SealingServiceServicer):
    """A service that keeps the contract: it can be away, refuse, or take its time."""

    def __init__(self) -> None:
        self.flushed_locations: list[str] = []
        self.trouble: list[Exception] = []
        self.held = threading.Event()
        self.held.set()

    def FlushTable(self, request, context):
        self.flushed_locations.append(request.location)
        self.held.wait(60)
        if self.trouble:
            raise self.trouble.pop(0)
        epochs = [event_log_pb2.LogEpoch(epoch=epoch, first_offset=first) for epoch, first in ((6, 1), (7, 3))]
        return event_log_pb2.FlushTableResponse(epoch=7, offset=3, log_offset=5, epochs=epochs)


class StoppedJobContext(NullJobContext):
    """Of a job that its owner stops as soon as it waits for something."""

    def __init__(self) -> None:
        self.ended = False

    def check(self) -> None:
        if self.ended:
            raise JobCancelled(CancelReason.STOP)

    @contextmanager
    def on_cancel(self, callback):
        self.ended = True
        callback()
        yield


@pytest.fixture
def flush_service():
    return Sealing()


@pytest.fixture
def server(flush_service):
    service = Service(
        event_log_pb2.DESCRIPTOR.services_by_name["SealingService"],
        event_log_pb2_grpc.add_SealingServiceServicer_to_server,
        flush_service,
    )
    with serving([service], keys=make_keys()) as running:
        yield running
        flush_service.held.set()


def test_table_is_flushed_once(flush_service, server):
    with server.channel("trainer") as opened:
        flushed = RemoteFlusher(SealingCalls(opened)).flush(LOCATION, NullJobContext())

    assert flushed == Flushed(5, Lineage([Epoch(6, 1), Epoch(7, 3)]))
    assert flush_service.flushed_locations == [LOCATION]


@pytest.mark.parametrize(
    "error", [Unavailable("the store is away"), Throttled("too many calls"), OperationUnavailable("an older version")]
)
def test_service_that_cannot_do_it_now_is_called_again(flush_service, server, error):
    flush_service.trouble = [error, error]
    with server.channel("trainer") as opened:
        RemoteFlusher(SealingCalls(opened)).flush(LOCATION, NullJobContext())

    assert len(flush_service.flushed_locations) == 3


def test_service_that_stays_away_gives_the_job_back_instead_of_training_without_its_events():
    with (
        channel("127.0.0.1:1", token="none") as nobody,
        pytest.raises(Unavailable, match="the latest records cannot be had"),
    ):
        RemoteFlusher(SealingCalls(nobody, patience_seconds=1.0)).flush(LOCATION, NullJobContext())


@pytest.mark.parametrize("error", [InvalidInput("`location`: bad"), PermissionDenied("not you")])
def test_refusal_is_final(flush_service, server, error):
    flush_service.trouble = [error]
    with server.channel("trainer") as opened, pytest.raises(type(error)):
        RemoteFlusher(SealingCalls(opened)).flush(LOCATION, NullJobContext())

    assert len(flush_service.flushed_locations) == 1


def test_job_that_must_end_waits_for_nobody(flush_service, server):
    flush_service.held.clear()
    with server.channel("trainer") as opened, pytest.raises(JobCancelled):
        RemoteFlusher(SealingCalls(opened)).flush(LOCATION, StoppedJobContext())
