"""GetRecommendations for users and for everybody: what comes back, and what is refused."""

from __future__ import annotations

import re

import grpc
import pytest

from common.errors import InvalidInput, ResourceNotFound, Unavailable
from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from runtime_service.history.impression_log import ImpressionReader
from tests.runtime_service.servicers.wire import as_role, ids
from tests.runtime_service.world import GROUP, N_ITEMS, campaign, item, user


def test_25_items_come_best_first_with_scores(recommend):
    answer = recommend(user_id=user(0))

    scores = [entry.score for entry in answer.item_list]
    assert len(set(ids(answer))) == 25
    assert scores == sorted(scores, reverse=True)
    assert 0.0 < sum(scores) <= 1.0
    assert scores == [round(score, 7) for score in scores]


def test_each_answer_has_an_id_of_its_own(recommend):
    first, second = recommend(user_id=user(0)), recommend(user_id=user(0))

    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"RID-{uuid}", first.recommendation_id)
    assert first.recommendation_id != second.recommendation_id


def test_each_request_shows_that_the_worker_lives(recommend, heartbeat):
    heartbeat.is_silent()
    for _ in range(20):
        recommend(user_id=user(0))
        assert [heartbeat.is_silent() for _ in range(9)] == [False] * 9


def test_wanted_number_of_items_comes_as_far_as_there_are_any(recommend):
    assert [len(recommend(user_id=user(0), num_results=count).item_list) for count in (0, 1, 500)] == [0, 1, N_ITEMS]


@pytest.mark.parametrize("count", [-1, 501])
def test_number_of_items_beyond_the_range_is_refused(refused, count):
    error = refused(user_id=user(0), num_results=count)

    assert isinstance(error, InvalidInput)
    assert error.message == f"`numResults`: got {count}, want an integer from 0 to 500"
    assert [violation.field for violation in error.violations] == ["numResults"]


def test_popular_items_are_the_same_for_all_and_have_no_scores(recommend):
    somebody, nobody = recommend("hits", user_id=user(0)), recommend("hits")

    assert ids(somebody) == ids(nobody)
    assert not any(entry.HasField("score") for entry in nobody.item_list)


def test_a_campaign_that_is_being_created_is_to_be_asked_again(refused, table):
    table.expect((), begun=[campaign("begun")])
    error = refused("begun", user_id=user(0))
    table.expect(())

    assert isinstance(error, Unavailable)
    assert "is being created" in error.message
    assert isinstance(refused("begun", user_id=user(0)), ResourceNotFound)


def test_nothing_is_missed_before_it_is_known_what_there_is(refused, table):
    table.confirmed = False
    error = refused("perhaps", user_id=user(0))
    table.confirm()

    assert isinstance(error, Unavailable)
    assert isinstance(refused("perhaps", user_id=user(0)), ResourceNotFound)


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
        grpc_stub.GetRecommendations(request, metadata=as_role("client"), timeout=60)

    assert isinstance(from_rpc_error(caught.value), InvalidInput)


def test_campaign_of_rankings_names_their_operation_to_whoever_wants_recommendations(refused):
    error = refused("ranked", user_id=user(0))

    assert isinstance(error, InvalidInput)
    assert error.message.endswith("this one's recipe is aws-personalized-ranking-v2: call GetPersonalizedRanking")


def test_item_is_passed_over_where_recommendations_are_personal(recommend):
    assert ids(recommend(user_id=user(0), item_id=item(3))) == ids(recommend(user_id=user(0)))


def test_an_item_that_is_explored_says_so_and_has_no_score(recommend):
    items = recommend("explored", user_id=user(2), num_results=8).item_list

    explored = [entry for entry in items if entry.reason]
    assert {entry.item_id for entry in explored} == {item(0), item(1), item(2)}
    assert all(list(entry.reason) == ["Exploration"] and not entry.HasField("score") for entry in explored)
    assert len(items) == 8
    assert all(entry.HasField("score") for entry in items if not entry.reason)


def test_an_answer_that_shows_new_items_is_kept_for_events_that_refer_to_it(recommend, history_files):
    answer = recommend("explored", user_id=user(2), num_results=8)
    plain = recommend("films", user_id=user(2), num_results=8)

    reader = ImpressionReader(history_files / "answers", key_bytes=25)
    assert [len(keys) for keys in reader.take([answer.recommendation_id]).values()] == [3]
    assert reader.take([plain.recommendation_id]) == {}
