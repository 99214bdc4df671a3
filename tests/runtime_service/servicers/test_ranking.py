"""GetPersonalizedRanking: the given items, best first, and what is refused."""

from __future__ import annotations

import re

import pytest

from common.errors import InvalidInput, ResourceNotFound
from tests.runtime_service.servicers.wire import ids, ranked_ids
from tests.runtime_service.world import N_ITEMS, item, user


def test_all_items_of_the_catalogue_are_ranked_as_they_are_recommended(recommend, rank):
    recommended = recommend(user_id=user(4), num_results=N_ITEMS)

    answer = rank(*map(item, range(N_ITEMS)), user_id=user(4))

    assert ranked_ids(answer) == ids(recommended)
    scores = [entry.score for entry in answer.personalized_ranking]
    assert scores == pytest.approx([entry.score for entry in recommended.item_list], abs=1e-6)
    assert scores == [round(score, 7) for score in scores]


def test_scores_of_a_ranking_are_shares_of_the_given_items(rank):
    answer = rank(item(30), item(2), item(11), user_id=user(0))

    scores = [entry.score for entry in answer.personalized_ranking]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0, abs=1e-6)


def test_unknown_items_come_last_as_they_were_given_without_scores(rank):
    answer = rank("z-new", item(30), "a-new", item(9), user_id=user(0))

    assert ranked_ids(answer) == [item(9), item(30), "z-new", "a-new"]
    assert [entry.HasField("score") for entry in answer.personalized_ranking] == [True, True, False, False]


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
        (["a"], {}, "`userId`: got '', want the id of a user: the recipe that answers asks for one"),
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
