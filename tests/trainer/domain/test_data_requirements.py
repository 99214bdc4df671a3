"""How much data a training needs, and the words when it has less."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from trainer.domain.configuration import EventParameters
from trainer.domain.data_requirements import (
    check_event_types,
    check_sufficient,
    check_times,
    describe_filters,
    near_spellings_warning,
)

BY_CLICK = " after filtering by event type: click"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ((999, 100, 100, ""), "Create failed. Dataset has fewer than 1000 interactions. It has 999."),
        ((0, 0, 0, BY_CLICK), "fewer than 1000 interactions after filtering by event type: click. It has 0."),
        ((1000, 500, 24, ""), "Create failed. Dataset has fewer than 25 users with at least 2 interactions each. It"),
        ((1000, 500, 24, BY_CLICK), "at least 2 interactions each after filtering by event type: click. It has 24."),
        ((9000, 8000, 79, ""), "79 users with at least 2 interactions each, which is less than 1% of its"),
    ],
)
def test_too_little_data_is_reported_in_the_services_words(facts, message):
    interactions, users, users_with_two, filters = facts
    with pytest.raises(InvalidInput) as caught:
        check_sufficient(interactions=interactions, users=users, users_with_two=users_with_two, filters=filters)
    assert message in caught.value.message


def test_filters_are_described_in_the_services_words():
    buy, click = EventParameters("buy", threshold=2.5), EventParameters("click", weight=0.5)

    assert describe_filters(event_type=None, threshold=None) == ""
    assert describe_filters(event_type="click", threshold=None) == BY_CLICK
    assert describe_filters(event_type="click", threshold=2.5) == f"{BY_CLICK} and by event value: 2.5 or more"
    assert describe_filters(event_type=None, threshold=3.0) == " after filtering by event value: 3 or more"
    assert describe_filters(event_type=None, threshold=None, events=[buy, click]) == (
        " after filtering by event type: buy (event value: 2.5 or more), click"
    )


def test_at_most_ten_event_types_can_be_learnt_from():
    names = [f"t{number}" for number in range(11)]
    check_event_types(names[:10], chosen=[])
    check_event_types(names, chosen=["t3"])
    with pytest.raises(InvalidInput, match=r"^Create failed\. Dataset has more than 10 event types: t0, t1"):
        check_event_types(names, chosen=[])


def test_a_chosen_type_that_is_spelled_otherwise_is_reported():
    check_event_types(["Watch", "watch"], chosen=["watch"])
    check_event_types(["Watch"], chosen=["click"])
    with pytest.raises(InvalidInput, match="no interactions of event type watch, but of 'Watch'"):
        check_event_types(["Watch"], chosen=["watch"])
    check_event_types(["Watch"], chosen=["watch", "Watch"])


def test_types_that_a_filter_leaves_out_for_their_spelling_are_named():
    present = {"click": 900, "CLICK": 40, "Click ": 1200, "clicked": 7, "watch": 5}

    assert near_spellings_warning(present, chosen=["click", "watch"]) == (
        "Interactions are left out because event types are compared exactly: "
        "1,200 of 'Click ', which is not 'click'; 40 of 'CLICK', which is not 'click'."
    )
    assert near_spellings_warning(present, chosen=[]) == ""
    assert near_spellings_warning({"!": 3, "?": 4}, chosen=["!"]) == ""
    assert near_spellings_warning({f"cl{'i' * 5}ck{'.' * n}": n for n in range(1, 40)}, chosen=["cliiiiick"]).endswith(
        "..."
    )


@pytest.mark.parametrize("present", [[], ["EVENT_TYPE", "item_id"]])
def test_types_that_are_no_types_cannot_be_chosen(present):
    check_event_types(present, chosen=[])
    with pytest.raises(InvalidInput, match="All values in the event_type column are either reserved keywords or null"):
        check_event_types(present, chosen=["watch"])


def test_segments_need_a_before_and_an_after():
    check_times(first=5, last=6)
    with pytest.raises(InvalidInput, match="All interactions have the same timestamp, 5: recipes of type USER_SEGM"):
        check_times(first=5, last=5)


def test_just_enough_is_enough():
    check_sufficient(interactions=1000, users=2500, users_with_two=25, filters=BY_CLICK)
