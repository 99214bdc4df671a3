"""The built operations on a real asynchronous server, called through pytest-grpc's fixtures in real mode."""

from __future__ import annotations

import re
from dataclasses import replace

import grpc
import numpy as np
import pytest

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Unauthenticated
from common.operations import built_operations
from common.rpc import AioRpcServer, CallGate, from_rpc_error
from common.testing import make_keys
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from recipes.context import ContextCodes, ContextTable
from recipes.exploration import ItemAges
from runtime_service.history import LoggedEvent
from runtime_service.history.answers import Answers
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.server import runtime_service
from runtime_service.servicers import RUNTIME_SERVICER
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.model import ModelLoader
from tests.runtime_service.serving import loop_in_thread
from tests.runtime_service.world import GROUP, N_ITEMS, WATERMARK, assignment, campaign, item, user

KEYS = make_keys()
#: Of the upper half, which users with even numbers never use.
TV_ITEM = 31


@pytest.fixture(scope="module")
def history_files(tmp_path_factory):
    return tmp_path_factory.mktemp("histories")


@pytest.fixture(scope="module")
def histories(history_files):
    """Give the histories in which a known user, a new one and a session have just done something."""
    folder = history_files
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
    artifacts = {"films": "personal", "hits": "popular", "ranked": "ranking", "alike": "related", "acts": "actions"}
    for name, artifact in artifacts.items():
        made = assignment(name, location=f"artifacts/{artifact}")
        table.serve(Deployment.make(made, loader.load(made.artifact_location), cache_users=10))
    new = ItemAges(np.where(np.arange(N_ITEMS) < 3, 0, -(10**8)), np.zeros(N_ITEMS, np.int64), 0)
    explored = replace(table.find(campaign()).model, ages=new)
    deployment = Deployment.make(assignment("explored"), explored, cache_users=10)
    deployment.explorer.share = 1.0
    table.serve(deployment)
    serve_situated(table, "films", "situated-films")
    serve_situated(table, "ranked", "situated-ranked")
    return RUNTIME_SERVICER(table, histories)


def serve_situated(table, name, situated):
    """Serve the model of a campaign once more, which has learnt that one item is for TVs."""
    model = table.find(campaign(name)).model
    vectors = np.zeros((2, model.scorer.item_vectors.shape[1] - 1), np.float32)
    wanted = model.scorer.item_vectors[TV_ITEM, :-1]
    vectors[1] = 50.0 * wanted / np.square(wanted).sum()
    meaning = ContextCodes(("DEVICE",), np.array([-1, 0], np.int32), ("", "tv"), np.full(2, np.nan))
    knowing = replace(model, scorer=model.scorer.with_context(ContextTable(meaning, vectors)))
    table.serve(Deployment.make(assignment(situated), knowing, cache_users=10))


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


@pytest.fixture
def rank(grpc_stub):
    def call(*items, name="ranked", role="client", **members):
        request = messages.GetPersonalizedRankingRequest(
            campaign_arn=campaign(name) if name else None, input_list=items, **members
        )
        return grpc_stub.GetPersonalizedRanking(request, metadata=as_role(role), timeout=10)

    return call


@pytest.fixture
def ranking_refused(rank):
    def call(*items, **members):
        with pytest.raises(grpc.RpcError) as caught:
            rank(*items, **members)
        return from_rpc_error(caught.value)

    return call


def ranked_ids(answer):
    return [found.item_id for found in answer.personalized_ranking]


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
        ({"filter_arn": "arn"}, "`filterArn`"),
        ({"filter_values": {"a": "b"}}, "`filterValues`"),
        ({"promotions": [messages.Promotion(name="p")]}, "`promotions`"),
        ({"metadata_columns": {"ITEMS": messages.StringList(values=["A"])}}, "`metadataColumns`"),
        ({"filter_arn": "arn", "filter_values": {"a": "b"}}, "`filterArn`, `filterValues`"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"user_id": "u"}, {"user_id": "u", "num_results": 5}])
def test_members_that_are_not_built_are_refused_by_name(refused, members, named, more):
    error = refused(**members, **more)

    assert isinstance(error, InvalidInput)
    assert error.message.startswith(f"{named}: got a value, want none")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"filter_arn": "arn"}, "`filterArn`"),
        ({"filter_values": {"a": "b"}}, "`filterValues`"),
        ({"metadata_columns": {"ITEMS": messages.StringList(values=["A"])}}, "`metadataColumns`"),
        ({"filter_arn": "arn", "filter_values": {"a": "b"}}, "`filterArn`, `filterValues`"),
    ],
)
def test_members_of_a_ranking_that_are_not_built_are_refused_by_name(ranking_refused, members, named):
    error = ranking_refused(item(0), user_id=user(0), **members)

    assert isinstance(error, InvalidInput)
    assert error.message == f"{named}: got a value, want none: this part of GetPersonalizedRanking is not built yet"


def test_recommender_is_refused_without_a_campaign_too(refused):
    assert refused(None, recommender_arn="arn", user_id="u").message.startswith("`recommenderArn`: got a value")


def test_all_operations_are_built():
    assert all(built_operations(RUNTIME_SERVICER).values())


def test_all_items_of_the_catalogue_are_ranked_as_they_are_recommended(recommend, rank):
    whole = recommend(user_id=user(4), num_results=N_ITEMS)

    answer = rank(*map(item, range(N_ITEMS)), user_id=user(4))

    assert ranked_ids(answer) == ids(whole)
    scores = [found.score for found in answer.personalized_ranking]
    assert scores == pytest.approx([found.score for found in whole.item_list], abs=1e-6)
    assert scores == [round(score, 7) for score in scores]


def test_scores_of_a_ranking_are_shares_of_the_given_items(rank):
    answer = rank(item(30), item(2), item(11), user_id=user(0))

    scores = [found.score for found in answer.personalized_ranking]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0, abs=1e-6)


def test_unknown_items_come_last_as_they_were_given_without_scores(rank):
    answer = rank("z-new", item(30), "a-new", item(9), user_id=user(0))

    assert ranked_ids(answer) == [item(9), item(30), "z-new", "a-new"]
    assert [found.HasField("score") for found in answer.personalized_ranking] == [True, True, False, False]


def test_only_unknown_items_come_back_as_they_were_given(rank):
    answer = rank("b", "a", user_id=user(0))

    assert ranked_ids(answer) == ["b", "a"]
    assert re.fullmatch(r"RID-[0-9a-f-]{36}", answer.recommendation_id)


def test_items_that_are_given_twice_come_back_once(rank):
    assert ranked_ids(rank("b", item(2), "a", item(2), "b", user_id=user(0))) == [item(2), "b", "a"]


def test_each_ranking_has_an_id_of_its_own(rank):
    first, second = rank(item(0), user_id=user(0)), rank(item(0), user_id=user(0))

    assert re.fullmatch(r"RID-[0-9a-f-]{36}", first.recommendation_id)
    assert first.recommendation_id != second.recommendation_id


def test_events_of_a_moment_ago_count_in_rankings(rank):
    everything = [item(index) for index in range(N_ITEMS)]

    assert ranked_ids(rank(*everything, user_id="new-user")) != ranked_ids(rank(*everything, user_id="nobody-knows"))


@pytest.mark.parametrize(
    ("items", "members", "message"),
    [
        ([], {"user_id": "u"}, "`inputList`: got 0, want the ids of 1 to 500 items"),
        (["i"] * 501, {"user_id": "u"}, "`inputList`: got 501, want the ids of 1 to 500 items"),
        (["a", ""], {"user_id": "u"}, "`inputList[1]`: got '', want 1 to 256 characters"),
        (["a"], {}, "`userId`: got '', want the id of a user: the campaign's recipe personalizes"),
        (["a"], {"name": None, "user_id": "u"}, "`campaignArn`: got '', want the ARN of a campaign"),
    ],
)
def test_ranking_without_what_it_needs_is_refused(ranking_refused, items, members, message):
    error = ranking_refused(*items, **members)

    assert isinstance(error, InvalidInput)
    assert error.message == message


def test_campaign_that_is_gone_ranks_nothing(ranking_refused):
    assert isinstance(ranking_refused(item(0), name="gone", user_id=user(0)), ResourceNotFound)


@pytest.mark.parametrize("name", ["films", "hits", "alike"])
def test_campaign_of_recommendations_names_their_operation_to_whoever_wants_a_ranking(ranking_refused, name):
    error = ranking_refused(item(0), name=name, user_id=user(0))

    assert isinstance(error, InvalidInput)
    assert error.message.endswith(": call GetRecommendations")


def test_campaign_of_rankings_names_their_operation_to_whoever_wants_recommendations(refused):
    error = refused("ranked", user_id=user(0))

    assert isinstance(error, InvalidInput)
    assert error.message.endswith("this one's recipe is aws-personalized-ranking-v2: call GetPersonalizedRanking")


@pytest.mark.parametrize("members", [{}, {"user_id": user(1)}, {"user_id": "nobody-knows"}])
def test_related_items_come_without_the_item_and_without_scores_whoever_asks(recommend, members):
    answer = recommend("alike", item_id=item(3), num_results=500, **members)

    assert set(ids(answer)) == {item(index) for index in range(N_ITEMS) if index != 3}
    assert ids(answer) == ids(recommend("alike", item_id=item(3), num_results=500))
    assert not any(found.HasField("score") for found in answer.item_list)


def test_25_related_items_come_by_default(recommend):
    assert len(recommend("alike", item_id=item(3)).item_list) == 25


def test_items_are_related_to_the_item_that_is_asked_about(recommend):
    assert ids(recommend("alike", item_id=item(3))) != ids(recommend("alike", item_id=item(30)))


def test_unknown_item_is_no_error(recommend):
    assert len(recommend("alike", item_id="nobody-made-this", num_results=500).item_list) == N_ITEMS


@pytest.mark.parametrize("count", [0, 5])
def test_item_is_needed_where_items_are_related(refused, count):
    error = refused("alike", user_id=user(0), num_results=count)

    assert isinstance(error, InvalidInput)
    assert error.message == "`itemId`: got '', want the id of an item: the campaign's recipe relates items"


def test_item_is_passed_over_where_recommendations_are_personal(recommend):
    assert ids(recommend(user_id=user(0), item_id=item(3))) == ids(recommend(user_id=user(0)))


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


def test_an_item_that_is_explored_says_so_and_has_no_score(recommend):
    found = recommend("explored", user_id=user(1), num_results=8).item_list

    explored = [entry for entry in found if entry.reason]
    assert {entry.item_id for entry in explored} == {item(0), item(1), item(2)}
    assert all(list(entry.reason) == ["Exploration"] and not entry.HasField("score") for entry in explored)
    assert len(found) == 8
    assert all(entry.HasField("score") for entry in found if not entry.reason)


def test_an_answer_that_shows_new_items_is_kept_for_events_that_refer_to_it(recommend, history_files):
    answer = recommend("explored", user_id=user(1), num_results=8)
    plain = recommend("films", user_id=user(1), num_results=8)

    found = Answers(history_files / "answers", key_bytes=25)
    assert len(found.take(answer.recommendation_id)) == 3
    assert found.take(plain.recommendation_id) == []


def test_the_situation_of_a_request_counts_and_what_is_unknown_of_it_is_passed_over(recommend):
    plain = recommend("situated-films", user_id=user(0), num_results=10)
    by_tv = recommend("situated-films", user_id=user(0), num_results=10, context={"DEVICE": "tv", "CITY": "Bonn"})
    by_car = recommend("situated-films", user_id=user(0), num_results=10, context={"DEVICE": "car", "device": "tv"})

    assert item(TV_ITEM) not in [found.item_id for found in plain.item_list]
    assert by_tv.item_list[0].item_id == item(TV_ITEM)
    assert list(by_car.item_list) == list(plain.item_list)


def test_rankings_are_made_in_a_situation_too(rank):
    given = [item(place) for place in (8, 9, 10, TV_ITEM)]
    assert ranked_ids(rank(*given, name="situated-ranked", user_id=user(0)))[0] != item(TV_ITEM)
    by_tv = rank(*given, name="situated-ranked", user_id=user(0), context={"DEVICE": "tv"})
    assert ranked_ids(by_tv)[0] == item(TV_ITEM)


def test_a_model_without_context_columns_passes_every_context_over(recommend):
    plain, situated = (recommend(user_id=user(0), context=context) for context in ({}, {"DEVICE": "tv"}))
    assert list(plain.item_list) == list(situated.item_list)


def test_a_recipe_that_does_not_learn_from_context_takes_none(refused):
    error = refused("hits", context={"DEVICE": "tv"})
    assert isinstance(error, InvalidInput)
    assert error.message == (
        "`context`: got {'DEVICE': 'tv'}, want none: the campaign's recipe does not learn from context"
    )


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"A-B": "tv"}, "`context`: got 'A-B', want names of 1 to 150 letters"),
        ({"A" * 151: "tv"}, "`context`: got"),
        ({"A": "x" * 1001}, "`context.A`: got"),
        ({f"A{number}": "x" for number in range(151)}, "`context`: got '151 entries', want at most 150"),
    ],
)
def test_malformed_contexts_are_refused(refused, context, told):
    assert refused(user_id=user(0), context=context).message.startswith(told)


@pytest.fixture
def act(grpc_stub):
    def ask(**members):
        request = messages.GetActionRecommendationsRequest(**{"campaign_arn": campaign("acts"), **members})
        return grpc_stub.GetActionRecommendations(request, metadata=as_role("client"), timeout=10)

    return ask


def test_actions_are_recommended_with_how_likely_they_are_taken(act):
    lower, upper = (
        {found.action_id: found.score for found in act(user_id=user(number)).action_list} for number in (4, 5)
    )
    assert set(lower) == {"lower", "upper"} | {"never"}
    assert lower["lower"] > 0.5 > lower["upper"]
    assert upper["upper"] > 0.5 > upper["lower"]
    assert lower["never"] == 0.0  # nobody took it, so it is not trained


def test_actions_come_best_first_and_as_many_as_wanted(act):
    answer = act(user_id=user(5), num_results=2)
    assert [found.action_id for found in answer.action_list] == ["upper", "lower"]
    assert answer.recommendation_id.startswith("RID-")
    assert not act(user_id=user(5), num_results=0).action_list
    assert len(act(user_id="nobody").action_list) == 3


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"user_id": "u", "num_results": 101}, "want an integer from 0 to 100"),
        ({}, "`userId`"),
        ({"user_id": "u", "filter_arn": "f"}, "this part of GetActionRecommendations is not built yet"),
        ({"user_id": "u", "campaign_arn": campaign("films")}, "call GetRecommendations"),
    ],
)
def test_requests_for_actions_that_are_wrong_are_refused(act, members, told):
    with pytest.raises(grpc.RpcError, match=told):
        act(**members)
