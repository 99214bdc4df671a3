"""The rules of requests and of histories."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.errors import InvalidInput, ResourceNotFound
from recipes.catalog import RECIPES
from runtime_service.domain.histories import EventRule, RecentEvent, known_steps, newer_events
from runtime_service.domain.requests import (
    check_item,
    check_items,
    check_operation,
    check_user,
    results_wanted,
    unknown_campaign,
)
from tests.runtime_service.world import campaign


def event(offset, *, millis=0, event_type="watch", item_id="a", value=math.nan):
    return RecentEvent(offset, millis, event_type, item_id, offset, value)


@pytest.mark.parametrize(("count", "wanted"), [(None, 25), (0, 0), (1, 1), (500, 500)])
def test_results_wanted_are_given_within_the_range(count, wanted):
    assert results_wanted(count) == wanted


@pytest.mark.parametrize("count", [-1, 501])
def test_results_beyond_the_range_are_refused(count):
    with pytest.raises(InvalidInput, match=f"`numResults`: got {count}, want an integer from 0 to 500"):
        results_wanted(count)


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
    assert [found.field for found in caught.value.violations] == ["inputList[2]"]


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
    check_operation(right, campaign_arn=campaign(), recipe=name, recipe_type=RECIPES[name].recipe_type)
    with pytest.raises(InvalidInput, match=f"`campaignArn`: got '{campaign()}'.*{name}: call {right}$"):
        check_operation(wrong, campaign_arn=campaign(), recipe=name, recipe_type=RECIPES[name].recipe_type)


def test_unknown_campaign_is_told_from_what_is_no_campaign():
    error = unknown_campaign(campaign())
    assert isinstance(error, ResourceNotFound)
    assert error.message.startswith(f"Resource Arn {campaign()} does not exist. ")
    with pytest.raises(InvalidInput, match="`campaignArn`"):
        unknown_campaign("films")


def test_newer_events_are_those_behind_the_watermark_in_the_order_they_happened():
    events = [event(10, millis=1), event(11, millis=9), event(12, millis=3), event(13, millis=9)]

    assert [found.offset for found in newer_events(events, watermark=10, event_type=None)] == [12, 11, 13]


def test_newer_events_are_of_the_wanted_type():
    events = [event(1), event(2, event_type="click"), event(3)]

    assert [found.offset for found in newer_events(events, watermark=0, event_type="click")] == [2]


def test_newer_events_are_those_that_a_rule_takes():
    rules = [EventRule("click", None), EventRule("watch", 3.0)]
    events = [
        event(1, value=2.9), event(2, value=3.0), event(3), event(4, event_type="click"), event(5, event_type="buy"),
    ]  # fmt: skip

    assert [found.offset for found in newer_events(events, watermark=0, event_type=None, rules=rules)] == [2, 4]
    any_type = [EventRule(None, 2.0)]
    assert [found.offset for found in newer_events(events, watermark=0, event_type=None, rules=any_type)] == [1, 2]
    assert newer_events(events, watermark=0, event_type="buy", rules=rules) == []


def test_events_become_steps_with_known_items_their_types_and_seconds():
    events = [
        event(1, item_id="a", millis=1_700_000_000_999),
        event(2, item_id="new", millis=1_700_000_001_000),
        event(3, item_id="b", millis=1_700_000_002_000, event_type="buy"),
        event(4, item_id="a", millis=1_700_000_003_500, event_type="like"),
    ]

    found = known_steps(events, index_of={"a": 7, "b": 8}.get, event_types={"watch": 1, "buy": 2})

    assert found.items.tolist() == [7, 8, 7]
    assert found.event_types.tolist() == [1, 2, 0]
    assert found.times.tolist() == [1_700_000_000, 1_700_000_002, 1_700_000_003]
    assert [column.dtype for column in found] == [np.int32, np.uint8, np.int64]


def test_no_events_are_no_steps():
    found = known_steps([], index_of={}.get, event_types={})

    assert [len(column) for column in found] == [0, 0, 0]
    assert [column.dtype for column in found] == [np.int32, np.uint8, np.int64]
