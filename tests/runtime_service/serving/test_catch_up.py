"""Requests that are quicker than the answer by which a worker is told of what was created a moment ago."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from common.process.heartbeat import Heartbeat
from common.recommendation_ids import RecommendationIds
from common.rpc import AioRpcServer, aio_channel, from_rpc_error
from common.rpc.call_policy import CallPolicy
from common.testing import loop_in_thread, wait_until
from inference.model import ModelLoader
from protos.tailorbird.internal.v1 import serving_pb2_grpc
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from runtime_service.features.opener import SnapshotOpener
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history.lmdb import LmdbHistoryWriter, prepare_history
from runtime_service.server import runtime_service
from runtime_service.servicers.recommendations import RuntimeServicer
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import DeploymentTable
from runtime_service.serving.kept import AssignmentFile
from runtime_service.serving.loads import Loads
from runtime_service.serving.watcher import ServingWatcher
from tests.runtime_service.backends import Assignments, running_backends
from tests.runtime_service.features.running import SharedReader, filter_arn, group_message, schema_of
from tests.runtime_service.servicers.wire import KEYS, as_role
from tests.runtime_service.world import GROUP, assignment, campaign, local_store, publish

ANY = 'EXCLUDE ItemID WHERE Items.T1 IN ("a")'
WIDER = json.loads(schema_of("ITEMS"))
WIDER["fields"].append({"name": "EXTRA", "type": ["null", "string"]})


def films(*filters, schema=None):
    """Return what is said of a group with items and filters of these names."""
    schemas = {} if schema is None else {"ITEMS": json.dumps(schema)}
    return group_message(GROUP, {"ITEMS": None}, dict.fromkeys(filters, ANY), schemas)


@dataclass
class Worker:
    """A worker on a server, and the control plane that it watches."""

    board: Assignments
    catch_up: CatchUp
    channel: Any

    def begin(self, *, seconds=60, account=None, **members):
        """Begin a call."""
        request = messages.GetRecommendationsRequest(campaign_arn=campaign(), user_id="user-1", **members)
        stub = RuntimeServiceStub(self.channel)
        return stub.GetRecommendations.future(request, metadata=as_role("client", account=account), timeout=seconds)

    def filtered(self, name, **options):
        return self.begin(filter_arn=filter_arn(name), **options)


def code(call) -> str:
    """Return how a call ended."""
    try:
        return "OK" if call.result().item_list else "EMPTY"
    except grpc.RpcError as error:
        return from_rpc_error(error).code


@pytest.fixture(scope="module")
def worker(popular, tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    store = local_store(folder / "store")
    publish(store, "artifacts/popular", popular)
    prepare_history(folder / "history", map_bytes=1 << 22)
    writer, table = LmdbHistoryWriter(folder / "history", max_events=5), DeploymentTable()
    histories, started = SharedReader(writer), Future()
    opener = SnapshotOpener(store, cache=folder / "features")
    loads = Loads(ModelLoader(store, cache=folder / "cache", index="exact"), limit_seconds=60.0, cache_users=10)

    async def run(backends):
        async with aio_channel(backends.server.target, token=backends.keys.token("runtime")) as channel:
            stub = serving_pb2_grpc.ServingServiceStub(channel)
            follower = FeatureUpdater(histories, opener, deployments=table, note_held=lambda held: None)
            catch_up = CatchUp(stub, in_force=follower.in_force)
            watcher = ServingWatcher(
                stub, loads, table=table, features=follower, catch_up=catch_up,
                kept=AssignmentFile(folder / "assignments.json"), runtime_id="tests-1-0", wait_seconds=60.0,
            )  # fmt: skip
            ids, beat = RecommendationIds(None), Heartbeat(silent_seconds=60).beat
            servicer = RuntimeServicer(table, histories, features=follower, catch_up=catch_up, ids=ids, beat=beat)
            policy = CallPolicy(KEYS.verifier)
            server = AioRpcServer([runtime_service(servicer)], policy=policy, address="127.0.0.1:0", threads=4)
            await server.start()
            server.ready()
            started.set_result((server.port, catch_up))
            try:
                await asyncio.gather(follower.run(), watcher.run())
            finally:
                await server.stop(grace=0)

    with running_backends() as backends, loop_in_thread() as loop:
        backends.board.assign(assignment(location="artifacts/popular", metadata=True))
        backends.board.assign_groups(films("old"))
        with loop.running(run(backends)):
            port, catch_up = started.result(60)
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                made = Worker(backends.board, catch_up, channel)
                wait_until(lambda: code(made.filtered("old")) == "OK")
                yield made
    writer.close()


@pytest.fixture
def informed(worker):
    """Let the worker know what there is, and forget what was asked; afterwards too."""
    worker.board.assign_groups(films("old"))
    wait_until(lambda: code(worker.filtered("new")) == "NOT_FOUND")
    worker.board.questions = 0
    yield worker
    worker.board.refuse(0)
    worker.board.responding.set()


def test_a_filter_that_was_created_a_moment_ago_applies_to_requests_that_are_quicker_than_the_watch(informed):
    informed.board.assign_groups(films("old", "new"), held=True)

    call = informed.filtered("new")
    wait_until(lambda: informed.board.questions or call.done())
    assert code(informed.filtered("old")) == "OK"
    assert not call.done()
    informed.board.tell()

    assert code(call) == "OK"
    assert code(informed.filtered("new")) == "OK"
    assert informed.board.questions == 1


def test_a_promotion_waits_for_its_filter_and_answers_for_its_new_column(informed):
    informed.board.assign_groups(films("old", "new", schema=WIDER), held=True)

    promoted = informed.begin(
        promotions=[messages.Promotion(name="p", percent_promoted_items=50, filter_arn=filter_arn("new"))]
    )
    columns = {"ITEMS": messages.StringList(values=["EXTRA"])}
    described = informed.begin(metadata_columns=columns)
    wait_until(lambda: len(informed.catch_up._waiters) == 2)
    informed.board.tell()

    assert [code(promoted), code(described)] == ["OK", "OK"]


def test_what_there_is_not_is_asked_for_once_for_all_who_wait(informed):
    informed.board.responding.clear()
    calls = [informed.filtered(f"no-{number}") for number in range(20)]
    wait_until(lambda: len(informed.catch_up._waiters) == len(calls))
    informed.board.responding.set()

    assert {code(call) for call in calls} == {"NOT_FOUND"}
    assert 1 <= informed.board.questions <= 2


def test_nothing_is_asked_for_names_that_the_caller_cannot_have(informed):
    assert code(informed.begin(filter_arn="new")) == "INVALID_ARGUMENT"
    assert code(informed.begin(filter_arn=filter_arn("new").replace("000000000000", "111111111111"))) == "NOT_FOUND"
    assert informed.board.questions == 0


def test_while_the_control_plane_is_away_unknown_names_are_unavailable_at_once_and_others_are_served(informed):
    informed.board.refuse(1_000_000)
    informed.board.assign_groups(films("old"))  # answers the watch that is on its way; the next is refused
    wait_until(lambda: code(informed.filtered("new")) == "UNAVAILABLE")
    informed.board.assign_groups(films("old", "new"))
    wait_until(lambda: informed.catch_up._asking is None)
    informed.board.questions = 0

    assert code(informed.filtered("new")) == "UNAVAILABLE"
    assert code(informed.filtered("old")) == "OK"
    assert informed.board.questions == 0

    informed.board.refuse(0)
    wait_until(lambda: code(informed.filtered("new")) == "OK")


def test_a_control_plane_that_does_not_answer_keeps_nobody_beyond_his_deadline(informed):
    informed.board.responding.clear()

    assert code(informed.filtered("new", seconds=0.5)) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert code(informed.filtered("old")) == "OK"


def test_too_many_who_wait_are_refused(informed):
    informed.board.responding.clear()
    informed.catch_up._max_waiting = 2
    try:
        calls = [informed.filtered("new") for _ in range(2)]
        wait_until(lambda: len(informed.catch_up._waiters) == 2)
        assert code(informed.filtered("new")) == "RESOURCE_EXHAUSTED"
        informed.board.responding.set()
        assert {code(call) for call in calls} == {"NOT_FOUND"}
    finally:
        informed.catch_up._max_waiting = 256
