"""The context of a request: what it changes, and which is rejected."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from tests.runtime_service.servicers.wire import TV_ITEM, ranked_ids
from tests.runtime_service.world import item, user


@pytest.mark.parametrize("key", ["DEVICE", "device", "Device", "de_vice"])
def test_context_counts_however_its_key_is_spelt(recommend, key):
    plain = recommend("films-with-context", user_id=user(0), num_results=10)
    by_tv = recommend("films-with-context", user_id=user(0), num_results=10, context={key: "tv"})

    assert item(TV_ITEM) not in [entry.item_id for entry in plain.item_list]
    assert by_tv.item_list[0].item_id == item(TV_ITEM)


def test_a_value_that_the_model_does_not_know_is_passed_over(recommend):
    plain = recommend("films-with-context", user_id=user(0), num_results=10)
    by_car = recommend("films-with-context", user_id=user(0), num_results=10, context={"DEVICE": "car"})

    assert list(by_car.item_list) == list(plain.item_list)


def test_a_key_that_the_model_does_not_know_is_refused_with_those_that_it_knows(refused):
    error = refused("films-with-context", user_id=user(0), context={"DEVICE": "tv", "CITY": "Bonn"})
    assert isinstance(error, InvalidInput)
    assert error.message == "`context`: got 'CITY', want one of DEVICE: what the campaign's model has learnt from"


def test_a_column_in_two_spellings_is_refused(refused):
    error = refused("films-with-context", user_id=user(0), context={"DEVICE": "tv", "device": "tv"})
    assert error.message.endswith("want DEVICE once, in one spelling")


def test_unknown_keys_of_rankings_are_refused_too(ranking_refused):
    error = ranking_refused(item(1), name="ranked-with-context", user_id=user(0), context={"CITY": "Bonn"})
    assert error.message.startswith("`context`: got 'CITY', want one of DEVICE")


def test_rankings_use_the_context_too(rank):
    given = [item(place) for place in (8, 9, 10, TV_ITEM)]
    assert ranked_ids(rank(*given, name="ranked-with-context", user_id=user(0)))[0] != item(TV_ITEM)
    by_tv = rank(*given, name="ranked-with-context", user_id=user(0), context={"DEVICE": "tv"})
    assert ranked_ids(by_tv)[0] == item(TV_ITEM)


def test_a_model_that_learnt_from_no_context_takes_none(refused):
    error = refused(user_id=user(0), context={"DEVICE": "tv"})
    assert error.message == "`context`: got 'DEVICE', want none: what the campaign's model has learnt from"


def test_a_recipe_that_does_not_learn_from_context_takes_none(refused):
    error = refused("hits", context={"DEVICE": "tv"})
    assert isinstance(error, InvalidInput)
    assert error.message == (
        "`context`: got {'DEVICE': 'tv'}, want none: the campaign's recipe does not learn from context"
    )


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ({"A-B": "tv"}, "`context`: got 'A-B', want names of 1 to 150 letters"),
        ({"A" * 151: "tv"}, "`context`: got"),
        ({"A": "x" * 1001}, "`context.A`: got"),
        ({f"A{number}": "x" for number in range(151)}, "`context`: got '151 entries', want at most 150"),
    ],
)
def test_malformed_contexts_are_refused(refused, context, text):
    assert refused(user_id=user(0), context=context).message.startswith(text)
