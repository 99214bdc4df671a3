"""Load is made and accounted for: a failed call cannot pass for an answered one."""

import os
import shutil
import socket
import subprocess

import pytest

from benchmarks.echo import echo_server
from benchmarks.load.h2load import Call, Load, frame_bytes, h2load_path, listeners, run_load
from common.errors import InvalidInput, Unavailable
from common.rpc import channel
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub

SERVICE = "/tailorbird.runtime.v1.RuntimeService"
ANSWER = runtime.GetRecommendationsResponse(
    item_list=[runtime.PredictedItem(item_id=f"film-{place}", score=0.1) for place in range(25)]
)
REQUEST = runtime.GetRecommendationsRequest(campaign_arn="c", user_id="u")

#: CI installs it, and fails where that did not work.
needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None and "CI" not in os.environ, reason="h2load (nghttp2-client) is not installed"
)


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    with echo_server(ANSWER, processes=2, folder=tmp_path_factory.mktemp("echo")) as address:
        yield address


def test_a_message_is_framed_as_grpc_frames_it():
    assert frame_bytes(REQUEST) == b"\x00\x00\x00\x00\x06" + REQUEST.SerializeToString()


def test_the_echo_answers_stubs(echo):
    with channel(echo, token="none") as opened:
        assert RuntimeServiceStub(opened).GetRecommendations(REQUEST) == ANSWER


@needs_h2load
def test_every_call_is_counted_and_timed(echo):
    calls = [Call(REQUEST, ANSWER.ByteSize())] * 5
    outcome = run_load(echo, f"{SERVICE}/GetRecommendations", calls, load=Load(2, 3, 20), token="none")
    assert (outcome.requests, outcome.wrong) == (100, 0)
    assert outcome.server_cpu_seconds > 0
    assert 0 < outcome.latencies_ms[0] <= outcome.latencies_ms[-1] <= 1000 * outcome.seconds
    assert outcome.per_second == pytest.approx(100 / outcome.seconds)


@needs_h2load
def test_failed_calls_are_wrong_though_http_says_200(echo):
    calls = [Call(REQUEST, ANSWER.ByteSize())]
    outcome = run_load(echo, f"{SERVICE}/GetNothing", calls, load=Load(1, 1, 10), token="none")
    assert outcome.wrong == 10


@needs_h2load
def test_answers_of_another_size_are_wrong(echo):
    calls = [Call(REQUEST, ANSWER.ByteSize() + 1)]
    outcome = run_load(echo, f"{SERVICE}/GetRecommendations", calls, load=Load(1, 1, 10), token="none")
    assert outcome.wrong > 0


@needs_h2load
@pytest.mark.parametrize(("difference", "wrong"), [(-5, True), (-4, False), (0, False), (6, False), (7, True)])
def test_answers_may_differ_within_what_chance_comes_to(echo, difference, wrong):
    calls = [Call(REQUEST, ANSWER.ByteSize() - difference, slack=(40, 60))]
    outcome = run_load(echo, f"{SERVICE}/GetRecommendations", calls, load=Load(1, 1, 10), token="none")
    assert (outcome.wrong > 0) == wrong


@needs_h2load
def test_one_failed_call_is_wrong_within_any_slack(echo):
    calls = [Call(REQUEST, ANSWER.ByteSize(), slack=(200, 200))]
    outcome = run_load(echo, f"{SERVICE}/GetNothing", calls, load=Load(1, 1, 1), token="none")
    assert outcome.wrong == 1


def test_all_processes_that_share_a_listening_socket_are_found():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[server.fileno()]) as heir,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger,
    ):
        pids = {process.pid for process in listeners(f"127.0.0.1:{server.getsockname()[1]}")}
        heir.stdin.close()
        stranger.stdin.close()
    assert pids == {os.getpid(), heir.pid}


def test_slack_that_could_hide_a_failed_call_is_refused():
    with pytest.raises(InvalidInput, match="make fewer repeats"):
        Call(REQUEST, 100, slack=(50, 50))


@needs_h2load
def test_a_server_that_is_not_there_is_told():
    with pytest.raises(Unavailable, match="got no answer from http:"):
        run_load("127.0.0.1:1", f"{SERVICE}/GetRecommendations", [Call(REQUEST, 1)], load=Load(1, 1, 1), token="none")


def test_a_missing_generator_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidInput, match="apt-get install nghttp2-client"):
        h2load_path()
