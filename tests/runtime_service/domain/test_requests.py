"""The rules of requests."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, ResourceNotFound
from recipes.catalog import RECIPES
from runtime_service.domain.requests import (
    ServedKind,
    check_item,
    check_items,
    check_operation,
    check_user,
    requested_results,
    served_arn,
    unknown_target,
)
from tests.runtime_service.world import campaign


@pytest.mark.parametrize(("count", "expected"), [(None, 25), (0, 0), (1, 1), (500, 500)])
def test_requested_results_are_given_within_the_range(count, expected):
    assert requested_results(count) == expected


@pytest.mark.parametrize("count", [-1, 501])
def test_results_beyond_the_range_are_refused(count):
    with pytest.raises(InvalidInput, match=f"`numResults`: got {count}, want an integer from 0 to 500"):
        requested_results(count)


def test_longest_user_id_is_taken_and_a_longer_one_refused():
    assert check_user("u" * 256, required=True) == "u" * 256
    with pytest.raises(InvalidInput, match="want at most 256 characters"):
        check_user("u" * 257, required=True)


def test_user_is_needed_where_the_recipe_personalizes_only():
    assert check_user(None, required=False) == ""
    with pytest.raises(InvalidInput, match="`userId`: got ''"):
        check_user("", required=True)


def test_longest_item_id_is_taken_a_longer_one_and_none_refused():
    assert check_item("i" * 256) == "i" * 256
    with pytest.raises(InvalidInput, match=r"`itemId`: got 'iii.*want at most 256 characters"):
        check_item("i" * 257)
    with pytest.raises(InvalidInput, match="`itemId`: got '', want the id of an item"):
        check_item("")


def test_items_to_rank_are_taken_once_where_they_were_named_first():
    assert check_items(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]


@pytest.mark.parametrize("count", [1, 500])
def test_so_many_items_can_be_ranked(count):
    assert len(check_items([f"item-{place}" for place in range(count)])) == count


@pytest.mark.parametrize("count", [0, 501])
def test_other_numbers_of_items_cannot_be_ranked(count):
    with pytest.raises(InvalidInput, match=f"`inputList`: got {count}, want the ids of 1 to 500 items"):
        check_items(["item"] * count)


@pytest.mark.parametrize("item_id", ["", "i" * 257])
def test_bad_id_among_the_items_to_rank_is_told_by_its_place(item_id):
    assert check_items(["i" * 256])
    with pytest.raises(InvalidInput, match=r"`inputList\[2\]`: got '.*want 1 to 256 characters") as caught:
        check_items(["a", "b", item_id, "c"])
    assert [violation.field for violation in caught.value.violations] == ["inputList[2]"]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("aws-user-personalization-v2", "GetRecommendations", "GetPersonalizedRanking"),
        ("aws-popularity-count", "GetRecommendations", "GetPersonalizedRanking"),
        ("aws-sims", "GetRecommendations", "GetPersonalizedRanking"),
        ("aws-personalized-ranking-v2", "GetPersonalizedRanking", "GetRecommendations"),
    ],
)
def test_one_operation_answers_for_each_type_of_recipe(name, right, wrong):
    check_operation(right, campaign_arn=campaign(), recipe=RECIPES[name])
    with pytest.raises(InvalidInput, match=f"`campaignArn`: got '{campaign()}'.*{name}: call {right}$"):
        check_operation(wrong, campaign_arn=campaign(), recipe=RECIPES[name])


def test_unknown_campaign_is_told_from_what_is_no_campaign():
    error = unknown_target(ServedKind.CAMPAIGN, campaign())
    assert isinstance(error, ResourceNotFound)
    assert error.message.startswith(f"Resource Arn {campaign()} does not exist. ")
    with pytest.raises(InvalidInput, match="`campaignArn`"):
        unknown_target(ServedKind.CAMPAIGN, "films")


def test_unknown_recommender_is_told_from_what_is_no_recommender():
    arn = campaign().replace(":campaign/", ":recommender/")
    error = unknown_target(ServedKind.RECOMMENDER, arn)
    assert error.message == (
        f"Resource Arn {arn} does not exist. A recommender answers as soon as DescribeRecommender shows it ACTIVE."
    )
    with pytest.raises(InvalidInput, match="`recommenderArn`"):
        unknown_target(ServedKind.RECOMMENDER, campaign())


def test_a_request_is_for_a_campaign_or_a_recommender():
    assert served_arn("c", "") == (ServedKind.CAMPAIGN, "c")
    assert served_arn("", "r") == (ServedKind.RECOMMENDER, "r")
    with pytest.raises(InvalidInput, match="`recommenderArn`: got 'r', want none beside a campaignArn"):
        served_arn("c", "r")
    with pytest.raises(InvalidInput, match="`campaignArn`: got '', want the ARN of a campaign, or a recommenderArn"):
        served_arn("", "")
