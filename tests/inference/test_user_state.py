"""The states of active users are kept until they have newer events, or older ones count no more or otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from inference.new_items import NewItems
from inference.recent_events import RecentEvent
from inference.user_state import StateCache, UserState, UserStates
from recipes.models.lsa.score import LSAScorer
from recipes.ports import ScoreDelta
from runtime_service.history.records import StoredHistory, encode
from tests.inference.runs import make_model

STATE = UserState(np.ones(2, np.float32), ScoreDelta.nothing())
NEW = object()
VECTORS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.7, 0.7, 0, 0]], np.float32)


def history(*item_ids, first=1):
    """Make a history of events at the offsets from `first` on."""
    events = enumerate(item_ids, first)
    return StoredHistory(encode([RecentEvent(at, 1000 * at, "watch", name, at, math.nan) for at, name in events]))


@pytest.fixture
def model():
    """A model whose states are made of the vectors of the items of a history."""
    return replace(make_model(VECTORS, recipe="aws-user-personalization-v2"), scorer=LSAScorer(VECTORS))


def embedding(states, events):
    return states.user_state("u", events).embedding.tolist()


def test_a_state_is_made_anew_when_an_older_event_is_deleted(model):
    states = UserStates(model, cache_users=10)
    before = embedding(states, history("item-0000", "item-0001"))

    after = embedding(states, history("item-0001", first=2))

    assert after == embedding(UserStates(model, cache_users=0), history("item-0001", first=2))
    assert after != before


def test_a_state_is_made_anew_when_an_item_that_it_lacked_is_described(model):
    states, events = UserStates(model, cache_users=10), history("item-0000", "new")
    before = embedding(states, events)

    model.new_items.ids.add(["new"])
    model.new_items.current = NewItems.of(
        np.array([3], np.int32), vectors=VECTORS[1:2], described=np.array([True]), created=np.zeros(1, np.int64),
        clusters=None, first=3,
    )  # fmt: skip

    after = embedding(states, events)
    assert after == embedding(UserStates(model, cache_users=0), events)
    assert after != before


def test_states_that_have_nothing_to_do_with_new_items_are_kept(model):
    states, events = UserStates(model, cache_users=10), history("item-0000")
    kept = states.user_state("u", events)

    model.new_items.current = replace(model.new_items.current)

    assert states.user_state("u", events) is kept


def test_state_is_kept_until_the_user_has_a_newer_event():
    cache = StateCache(2)

    cache.put("a", 5, STATE, new_items=None)

    assert cache.get("a", 5, new_items=NEW) is STATE
    assert cache.get("a", 6, new_items=NEW) is None


def test_states_of_the_longest_inactive_users_go_first():
    cache = StateCache(2)
    cache.put("a", 1, STATE, new_items=None)
    cache.put("b", 1, STATE, new_items=None)
    cache.get("a", 1, new_items=NEW)

    cache.put("c", 1, STATE, new_items=None)

    assert (cache.get("a", 1, new_items=NEW) is None, cache.get("b", 1, new_items=NEW) is None) == (False, True)


def test_cache_of_no_users_keeps_nothing():
    cache = StateCache(0)

    cache.put("a", 1, STATE, new_items=None)

    assert cache.get("a", 1, new_items=NEW) is None
