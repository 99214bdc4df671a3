"""GetRecommendations on a real asynchronous server, called through pytest-grpc's fixtures in real mode."""

from __future__ import annotations

import re

import grpc
import pytest

from common.errors import InvalidInput, OperationUnavailable, PermissionDenied, ResourceNotFound, Unauthenticated
from common.operations import built_operations
from common.rpc import AioRpcServer, CallGate, from_rpc_error
from common.testing import make_keys
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from runtime_service.history import LoggedEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.server import runtime_service
from runtime_service.servicers import RUNTIME_SERVICER
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.model import ModelLoader
from tests.runtime_service.serving import loop_in_thread
from tests.runtime_service.world import GROUP, N_ITEMS, WATERMARK, assignment, campaign, item, user

KEYS = make_keys()


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """Give the histories in which a known user, a new one and a session have just done something."""
    folder = tmp_path_factory.mktemp("histories")
    prepare_history(folder, map_bytes=1 << 20)
    writer = LmdbHistoryWriter(folder, max_events=10)
    who = [(user(7), "", "watch"), ("new-user", "", "watch"), ("", "session-1", "watch"), ("buyer", "", "buy")]
    writer.append(
        [
            LoggedEvent(WATERMARK + place, GROUP, session, name, item(N_ITEMS - 2), kind, "", place)
            for place, (name, session, kind) in enumerate(who, 1)
        ],
        next_offset=WATERMARK + 5,
    )
    writer.close()
    reader = LmdbHistoryReader(folder)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def grpc_servicer(shelf, histories, tmp_path_factory):
    loader, table = ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact"), DeploymentTable()
    for name, artifact in (("films", "personal"), ("hits", "popular")):
        made = assignment(name, location=f"artifacts/{artifact}")
        table.serve(Deployment.make(made, loader.load(made.artifact_location), cache_users=10))
    return RUNTIME_SERVICER(table, histories)


@pytest.fixture(scope="module")
def grpc_server(grpc_servicer):
    """Run an asynchronous server in place of pytest-grpc's own, which is not."""

    async def start():
        server = AioRpcServer([runtime_service(grpc_servicer)], gate=CallGate(KEYS.verifier), address="127.0.0.1:0")
        await server.start()
        await server.ready()
        return server

    with loop_in_thread() as loop:
        server = loop.run(start())
        yield server
        loop.run(server.stop(grace=1.0))


@pytest.fixture(scope="module")
def grpc_addr(grpc_server):
    return f"127.0.0.1:{grpc_server.port}"


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return RuntimeServiceStub


def as_role(role):
    return [("authorization", f"Bearer {KEYS.token(role)}")]


@pytest.fixture
def recommend(grpc_stub):
    def call(name="films", *, role="client", **members):
        request = messages.GetRecommendationsRequest(campaign_arn=campaign(name) if name else None, **members)
        return grpc_stub.GetRecommendations(request, metadata=as_role(role), timeout=10)

    return call


@pytest.fixture
def refused(recommend):
    def call(*arguments, **members):
        with pytest.raises(grpc.RpcError) as caught:
            recommend(*arguments, **members)
        return from_rpc_error(caught.value)

    return call


def ids(answer):
    return [found.item_id for found in answer.item_list]


def test_25_items_come_best_first_with_scores(recommend):
    answer = recommend(user_id=user(0))

    scores = [found.score for found in answer.item_list]
    assert len(set(ids(answer))) == 25
    assert scores == sorted(scores, reverse=True)
    assert 0.0 < sum(scores) <= 1.0
    assert scores == [round(score, 7) for score in scores]


def test_each_answer_has_an_id_of_its_own(recommend):
    first, second = recommend(user_id=user(0)), recommend(user_id=user(0))

    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"RID-{uuid}", first.recommendation_id)
    assert first.recommendation_id != second.recommendation_id


def test_wanted_number_of_items_comes_as_far_as_there_are_any(recommend):
    assert [len(recommend(user_id=user(0), num_results=count).item_list) for count in (0, 1, 500)] == [0, 1, N_ITEMS]


@pytest.mark.parametrize("count", [-1, 501])
def test_number_of_items_beyond_the_range_is_refused(refused, count):
    error = refused(user_id=user(0), num_results=count)

    assert isinstance(error, InvalidInput)
    assert error.message == f"`numResults`: got {count}, want an integer from 0 to 500"
    assert [found.field for found in error.violations] == ["numResults"]


def test_popular_items_are_the_same_for_all_and_have_no_scores(recommend):
    somebody, nobody = recommend("hits", user_id=user(0)), recommend("hits")

    assert ids(somebody) == ids(nobody)
    assert not any(found.HasField("score") for found in nobody.item_list)


def test_user_is_needed_where_recommendations_are_personal(refused):
    assert refused().message.startswith("`userId`: got ''")


def test_events_of_a_moment_ago_count(recommend):
    alike = recommend(user_id=user(5)), recommend(user_id="nobody-knows")

    assert ids(recommend(user_id=user(7))) != ids(alike[0])
    assert ids(recommend(user_id="new-user")) != ids(alike[1])


def test_what_was_done_a_moment_ago_counts(recommend):
    assert ids(recommend(user_id="buyer")) != ids(recommend(user_id="new-user"))


def test_session_is_a_user_until_log_in(recommend):
    assert ids(recommend(user_id="session-1")) == ids(recommend(user_id="new-user"))


def test_unknown_campaign_is_not_found(refused):
    error = refused("gone", user_id=user(0))

    assert isinstance(error, ResourceNotFound)
    assert error.metadata == {"campaign_arn": campaign("gone")}


def test_missing_campaign_is_told(refused):
    assert refused(None, user_id=user(0)).message.startswith("`campaignArn`: got ''")


def test_arn_of_something_else_is_refused(grpc_stub):
    request = messages.GetRecommendationsRequest(campaign_arn=GROUP, user_id=user(0))

    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.GetRecommendations(request, metadata=as_role("client"), timeout=10)

    assert isinstance(from_rpc_error(caught.value), InvalidInput)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"context": {"DEVICE": "mobile"}}, "`context`"),
        ({"filter_arn": "arn"}, "`filterArn`"),
        ({"filter_values": {"a": "b"}}, "`filterValues`"),
        ({"promotions": [messages.Promotion(name="p")]}, "`promotions`"),
        ({"metadata_columns": {"ITEMS": messages.StringList(values=["A"])}}, "`metadataColumns`"),
        ({"filter_arn": "arn", "context": {"DEVICE": "mobile"}}, "`context`, `filterArn`"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"user_id": "u"}, {"user_id": "u", "num_results": 5}])
def test_members_that_are_not_built_are_refused_by_name(refused, members, named, more):
    error = refused(**members, **more)

    assert isinstance(error, InvalidInput)
    assert error.message.startswith(f"{named}: got a value, want none")


def test_recommender_is_refused_without_a_campaign_too(refused):
    assert refused(None, recommender_arn="arn", user_id="u").message.startswith("`recommenderArn`: got a value")


@pytest.mark.parametrize("operation", [name for name, built in built_operations(RUNTIME_SERVICER).items() if not built])
def test_operations_that_are_not_built_say_so(grpc_stub, operation):
    request = getattr(messages, f"{operation}Request")()

    with pytest.raises(grpc.RpcError) as caught:
        getattr(grpc_stub, operation)(request, metadata=as_role("client"), timeout=10)

    error = from_rpc_error(caught.value)
    assert isinstance(error, OperationUnavailable)
    assert error.metadata == {"operation": operation}


def test_get_recommendations_is_built():
    assert built_operations(RUNTIME_SERVICER)["GetRecommendations"]


@pytest.mark.parametrize("role", ["client", "gateway", "operator"])
def test_applications_and_people_may_ask(recommend, role):
    assert recommend(role=role, user_id=user(0)).item_list


@pytest.mark.parametrize("role", ["trainer", "runtime", "events"])
def test_other_processes_may_not(refused, role):
    assert isinstance(refused(role=role, user_id=user(0)), PermissionDenied)


def test_call_without_a_token_is_refused(grpc_stub):
    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.GetRecommendations(messages.GetRecommendationsRequest(), timeout=10)

    assert isinstance(from_rpc_error(caught.value), Unauthenticated)
