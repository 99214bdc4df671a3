"""Load shedding: how long calls have waited in gRPC is known, and beyond a limit they are refused."""

from __future__ import annotations

import json
import os
import shutil
import time
from importlib import resources

import pytest

from benchmarks.load.h2load import Call, Load, LoadResult, run_load
from benchmarks.report import percentile
from common.rpc.waits import CallCounts, CallWaits
from common.settings import CallLimits
from common.testing import serving
from protos.tailorbird.internal.v1 import trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse
from protos.tailorbird.runtime.v1 import runtime_service_pb2_grpc
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest, GetRecommendationsResponse
from runtime_service.server import runtime_service
from tests.common.rpc.calling import METHOD, tracker_service

RECOMMEND = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"


class Waited:
    """Waiting times of a server whose calls come and go as a test says, on a clock that the test sets."""

    def __init__(self, limit: float = 1.0) -> None:
        self.now, self.begun, self.ended = 0.0, 0, 0
        self.times = CallWaits(limit_seconds=limit, clock=lambda: self.now)

    def look(self, *, now: float, begun: int) -> None:
        self.now, self.begun = now, begun
        self.times.look(lambda: CallCounts(self.begun, self.ended))

    def hand_over(self, count: int, *, over: bool = True) -> None:
        for _ in range(count):
            self.times.begin()
            if over:
                self.times.end()
                self.ended += 1


@pytest.fixture
def queue():
    """Return a queue of a hundred calls a second, of which ten were handed over until second 1, and ten until 2."""
    made = Waited()
    made.hand_over(10)
    made.look(now=1.0, begun=100)
    made.hand_over(10)
    made.look(now=2.0, begun=200)
    return made


def test_a_call_has_waited_since_as_many_had_begun(queue):
    queue.hand_over(130)  # the 150th of 200, of which a hundred had begun at second 1

    assert queue.times.seconds == pytest.approx(0.5)


def test_calls_that_were_there_before_the_first_look_have_waited_at_least_since_then(queue):
    queue.hand_over(5)

    assert queue.times.seconds == pytest.approx(1.0)


def test_calls_that_came_since_the_last_look_have_not_waited(queue):
    queue.hand_over(181)

    assert queue.times.seconds == 0.0


def test_calls_that_callers_gave_up_are_out_of_the_queue(queue):
    queue.hand_over(5)
    queue.ended += 100
    queue.look(now=3.0, begun=200)
    queue.hand_over(20)  # the 145th of 200

    assert queue.times.seconds == pytest.approx(1.55)


def test_calls_whose_end_is_counted_late_have_been_handed_over(queue):
    queue.hand_over(180)
    queue.ended -= 50
    queue.look(now=3.0, begun=210)
    queue.hand_over(5)  # the 205th

    assert queue.times.seconds == pytest.approx(0.5)


def test_calls_in_progress_have_been_handed_over(queue):
    queue.hand_over(100, over=False)
    queue.look(now=3.0, begun=300)
    queue.hand_over(40)

    assert queue.times.seconds == pytest.approx(1.4)


def test_servers_are_looked_at_more_often_while_calls_wait_long(queue):
    queue.hand_over(130)
    assert queue.times.pause_seconds() == 0.1

    queue.hand_over(51)
    assert queue.times.pause_seconds() == 0.5


def test_calls_are_refused_until_the_wait_is_half_the_limit():
    overloaded = Waited()  # a hundred calls a second come, and fifty are answered
    refused = []
    for tenth in range(1, 60):
        overloaded.look(now=tenth / 10, begun=10 * tenth)
        overloaded.hand_over(5)
        refused.append((round(overloaded.times.seconds, 1), overloaded.times.is_too_long()))
    first = [is_refused for _, is_refused in refused].index(True)
    assert first > 10
    # Calls had waited for too long all through a second.
    assert all(seconds > 1.0 for seconds, _ in refused[first - 9 : first])

    # The queue is refused until the wait is half the limit, and none after.
    states = []
    for tenth in range(60, 80):
        overloaded.look(now=tenth / 10, begun=10 * 59)
        overloaded.hand_over(min(40, 590 - overloaded.ended))
        states.append((overloaded.times.seconds <= 0.5, overloaded.times.is_too_long()))
    assert states[0] == (False, True)
    assert all(short != is_refused for short, is_refused in states)


def test_a_moment_in_which_the_process_stood_still_refuses_nobody():
    stalled = Waited()
    for tenth in range(1, 10):
        stalled.hand_over(10)
        stalled.look(now=tenth / 10, begun=10 * tenth)
    stalled.hand_over(5)
    stalled.look(now=2.9, begun=290)  # two seconds later
    waited = []
    for step in range(40):
        stalled.now = 2.9 + step / 80
        stalled.hand_over(5)  # four hundred a second, until the queue is empty
        waited.append(stalled.times.seconds)
        assert not stalled.times.is_too_long()

    assert max(waited) > 1.5


def test_a_server_that_nobody_calls_is_not_looked_at():
    seen = Waited()
    seen.hand_over(2)
    seen.look(now=1.0, begun=2)

    assert not seen.times.look(lambda: pytest.fail("looked"))
    assert not seen.times.is_too_long()


def test_calls_are_refused_however_few_are_answered():
    overloaded = Waited()  # ten calls a second come, one of which is answered, and takes that second
    refused = []
    for second in range(1, 8):
        overloaded.hand_over(1, over=False)
        refused.append(overloaded.times.is_too_long())
        for tenth in range(10):
            overloaded.look(now=second + tenth / 10, begun=10 * second + tenth)
        overloaded.times.end()
        overloaded.ended += 1
    assert not refused[0]
    assert refused[-1]


def test_looks_while_a_call_is_in_progress_take_no_more_room():
    seen = Waited()
    seen.hand_over(1, over=False)
    for tenth in range(1, 1000):
        seen.look(now=tenth / 10, begun=1)
    seen.look(now=100.0, begun=3)
    seen.now = 101.0
    seen.hand_over(1)

    # It had not begun a tenth of a second before the last look.
    assert seen.times.seconds == pytest.approx(1.05)
    assert len(seen.times._looks) < 4


def test_nobody_waits_while_one_call_that_was_handed_over_takes_long():
    polled = Waited()
    polled.hand_over(1, over=False)
    for half in range(1, 40):  # a long poll of twenty seconds
        polled.look(now=half / 2, begun=1)
        polled.now += 0.4
        assert (polled.times.seconds, polled.times.pause_seconds()) == (0.0, 0.5)

    polled.hand_over(1)
    polled.look(now=20.0, begun=4)
    polled.now = 21.0
    polled.hand_over(1)  # the third, which had not begun half a second before the last look

    assert 1.0 < polled.times.seconds < 1.5


class Busy(trackers_pb2_grpc.TrackerServiceServicer, runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Answers clients and processes after a while in which it uses the event loop."""

    answer, resolved = (
        GetRecommendationsResponse(recommendation_id="a"),
        ResolveEventTrackerResponse(dataset_group_arn="a"),
    )

    def __init__(self) -> None:
        self.n_answered = 0

    async def GetRecommendations(self, request, context):
        self._work()
        return self.answer

    async def ResolveEventTracker(self, request, context):
        self._work()
        return self.resolved

    def _work(self):
        ends = time.perf_counter() + 0.0005
        while time.perf_counter() < ends:
            pass
        self.n_answered += 1


def overload(role: str, method: str, call: Call) -> tuple[LoadResult, int]:
    """Let a thousand callers call at a time; return what came of it, and how many calls were answered."""
    busy = Busy()
    services = [runtime_service(busy), tracker_service(busy)]
    with serving(services, limits=CallLimits(max_calls=2000, max_wait_seconds=0.05)) as running:
        load = Load(lanes=4, streams=300, repeats=1000)
        token = running.keys.token(role)
        return run_load(running.target, method, [call] * 4, load=load, token=token), busy.n_answered


def test_of_far_too_many_calls_some_are_refused_and_the_others_do_not_wait_long():
    if shutil.which("h2load") is None and "CI" not in os.environ:
        pytest.skip("h2load (nghttp2-client) is not installed")
    question = Call(ResolveEventTrackerRequest(tracking_id="a"), Busy.resolved.ByteSize())
    internal, n_internal = overload("events", METHOD, question)
    request = Call(GetRecommendationsRequest(user_id="a"), Busy.answer.ByteSize())
    clients, n_clients = overload("client", RECOMMEND, request)

    # Processes that ask each other are never refused: without their answers clients would be served worse.
    assert (internal.requests, internal.wrong, n_internal) == (4000, 0, 4000)
    assert (clients.requests, clients.wrong) == (4000, 4000 - n_clients)
    assert 0 < n_clients < 4000
    assert percentile(clients.latencies_ms, 0.5) < percentile(internal.latencies_ms, 0.5)


def test_clients_do_not_repeat_what_was_refused():
    config = json.loads(resources.files("protos").joinpath("service_config.json").read_text())
    repeated = {
        code
        for entry in config["methodConfig"]
        for code in entry.get("retryPolicy", {}).get("retryableStatusCodes", [])
    }

    assert repeated == {"UNAVAILABLE"}
