"""The rules of requests and of histories."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InvalidInput, ResourceNotFound
from runtime_service.domain.histories import RecentEvent, known_steps, newer_events
from runtime_service.domain.requests import check_user, results_wanted, unknown_campaign
from tests.runtime_service.world import campaign


def event(offset, *, millis=0, event_type="watch", item_id="a"):
    return RecentEvent(offset, millis, event_type, item_id, offset)


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


def test_unknown_campaign_is_told_from_what_is_no_campaign():
    assert isinstance(unknown_campaign(campaign()), ResourceNotFound)
    with pytest.raises(InvalidInput, match="`campaignArn`"):
        unknown_campaign("films")


def test_newer_events_are_those_behind_the_watermark_in_the_order_they_happened():
    events = [event(10, millis=1), event(11, millis=9), event(12, millis=3), event(13, millis=9)]

    assert [found.offset for found in newer_events(events, watermark=10, event_type=None)] == [12, 11, 13]


def test_newer_events_are_of_the_wanted_type():
    events = [event(1), event(2, event_type="click"), event(3)]

    assert [found.offset for found in newer_events(events, watermark=0, event_type="click")] == [2]


def test_events_become_steps_with_known_items_their_types_and_seconds():
    events = [
        event(1, item_id="a", millis=1_700_000_000_999),
        event(2, item_id="new", millis=1_700_000_001_000),
        event(3, item_id="b", millis=1_700_000_002_000, event_type="buy"),
        event(4, item_id="a", millis=1_700_000_003_500, event_type="like"),
    ]

    found = known_steps(events, index_of={"a": 7, "b": 8}.get, actions={"watch": 1, "buy": 2})

    assert found.items.tolist() == [7, 8, 7]
    assert found.actions.tolist() == [1, 2, 0]
    assert found.times.tolist() == [1_700_000_000, 1_700_000_002, 1_700_000_003]
    assert [column.dtype for column in found] == [np.int32, np.uint8, np.int64]


def test_no_events_are_no_steps():
    found = known_steps([], index_of={}.get, actions={})

    assert [len(column) for column in found] == [0, 0, 0]
    assert [column.dtype for column in found] == [np.int32, np.uint8, np.int64]
