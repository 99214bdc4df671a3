"""Processes of clients: what they count, and that an open loop waits for no answer."""

import asyncio
from dataclasses import replace

import pytest
from hdrh.log import HistogramLogReader

from benchmarks.load.clients import ClientLoad, press
from benchmarks.load.histograms import milliseconds, new_histogram, plot, write_hgrm, write_hlog
from common.errors import Unavailable
from common.rpc import Service
from common.testing import serving
from protos.tailorbird.events.v1 import events_service_pb2 as events
from protos.tailorbird.events.v1 import events_service_pb2_grpc
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1 import runtime_service_pb2_grpc
from tests.benchmarks.load.test_mix import TARGET

LIST = [runtime.PredictedItem(item_id="item-1")]


class Holding(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Answers nothing until so many calls have come."""

    def __init__(self, count):
        self._count = count
        self._come = asyncio.Event()

    async def _wait(self):
        self._count -= 1
        if self._count <= 0:
            self._come.set()
        await self._come.wait()

    async def GetRecommendations(self, request, context):
        await self._wait()
        return runtime.GetRecommendationsResponse(item_list=LIST)

    async def GetPersonalizedRanking(self, request, context):
        await self._wait()
        return runtime.GetPersonalizedRankingResponse(personalized_ranking=LIST)


class Sink(events_service_pb2_grpc.EventsServiceServicer):
    async def PutEvents(self, request, context):
        return events.PutEventsResponse()


@pytest.fixture
def run(tmp_path):
    """Give a function that runs loads against a server that holds its first answers back."""

    def run(*loads, hold=0):
        services = [
            Service(
                runtime.DESCRIPTOR.services_by_name["RuntimeService"],
                runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server,
                Holding(hold),
            ),
            Service(
                events.DESCRIPTOR.services_by_name["EventsService"],
                events_service_pb2_grpc.add_EventsServiceServicer_to_server,
                Sink(),
            ),
        ]
        with serving(services) as server:
            address, token = server.target, server.keys.token("client")
            replace(TARGET, runtime=address, events=address, token=token).write(tmp_path / "target.json")
            return press([replace(load, target=str(tmp_path / "target.json")) for load in loads])

    return run


def load(**more):
    return ClientLoad(**{"target": "", "seconds": 1.5, "seed": 1, "connections": 1, "in_progress": 2, **more})


def test_an_open_loop_begins_calls_whatever_became_of_those_before(run):
    # A client that waited for its answers would never come to the twentieth call.
    outcome = run(load(seconds=1.0, per_second=100.0), hold=20)
    assert outcome.failures == {}
    assert outcome.calls >= 20
    assert outcome.lateness.get_total_count() == outcome.calls
    # The first call has waited for all that came until the twentieth.
    assert milliseconds(outcome.latencies, 1.0) > milliseconds(outcome.latencies, 0.1)


def test_the_calls_of_all_processes_are_added_and_their_histograms_are_read_by_others(run, tmp_path):
    outcome = run(load(), load(seed=2))
    assert outcome.calls == outcome.latencies.get_total_count() > 4
    assert outcome.per_second == pytest.approx(outcome.calls / 1.5)
    assert set(outcome.kinds) == {"recommendations", "related", "ranking", "events"}
    write_hgrm(outcome.latencies, tmp_path / "all.hgrm")
    assert "#[Max     = " in (tmp_path / "all.hgrm").read_text()
    write_hlog(outcome.intervals, tmp_path / "all.hlog", started=outcome.started)
    reader, read = HistogramLogReader(str(tmp_path / "all.hlog"), new_histogram()), new_histogram()
    while (interval := reader.get_next_interval_histogram()) is not None:
        read.add(interval)
    reader.close()
    assert read.get_total_count() == outcome.calls
    assert read.get_value_at_percentile(99) == outcome.latencies.get_value_at_percentile(99)
    plot({"closed": outcome.latencies}, tmp_path / "curve", title="Latency")
    assert (tmp_path / "curve.svg").read_text().count("closed") >= 1
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_load_that_nobody_answers_is_told(run):
    with pytest.raises(Unavailable, match="got none answered"):
        run(load(), hold=10_000)
